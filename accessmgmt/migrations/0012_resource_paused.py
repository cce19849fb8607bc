from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accessmgmt', '0011_resource_port_from_secret'),
    ]

    operations = [
        migrations.AddField(
            model_name='resource',
            name='accepted_strangers',
            field=models.JSONField(blank=True, default=list, editable=False),
        ),
        migrations.AddField(
            model_name='resource',
            name='paused_since',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='resource',
            name='strangers',
            field=models.JSONField(blank=True, default=list, editable=False),
        ),
    ]
