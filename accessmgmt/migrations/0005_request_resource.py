"""Let a request remember the database that it was made for."""

import django.db.models.deletion
from django.db import migrations, models


def copy_resource(apps, schema_editor):
    requests = apps.get_model("accessmgmt", "AccessRequest")
    for request in requests.objects.select_related("endpoint").iterator():
        requests.objects.filter(pk=request.pk).update(resource_id=request.endpoint.resource_id)


def field(**options):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT,
        related_name="access_requests",
        to="accessmgmt.resource",
        **options,
    )


class Migration(migrations.Migration):
    atomic = False  # PostgreSQL refuses to change a table that has deferred constraint checks waiting

    dependencies = [("accessmgmt", "0004_names_whatever_their_case")]

    operations = [
        migrations.AddField("accessrequest", "resource", field(null=True)),
        migrations.RunPython(copy_resource, migrations.RunPython.noop),
        migrations.AlterField("accessrequest", "resource", field()),
    ]
