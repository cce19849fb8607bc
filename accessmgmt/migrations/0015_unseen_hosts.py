import re

from django.db import migrations

NOTE = re.compile(r"Sessions at (\S+) could not be looked for: (.*)", re.DOTALL)


def read_notes(apps, schema_editor):
    """Until now only a note's words said which server had not answered when a grant ended."""
    grants = apps.get_model("accessmgmt", "Grant").objects
    for grant in grants.filter(end_receipt__notes__icontains="could not be looked for").only("end_receipt").iterator():
        receipt = grant.end_receipt
        found = [match for note in receipt["notes"] if (match := NOTE.fullmatch(note))]
        receipt["unseen_hosts"] = [{"host": match[1], "why": match[2]} for match in found]
        receipt["notes"] = [note for note in receipt["notes"] if not NOTE.fullmatch(note)]
        grants.filter(pk=grant.pk).update(end_receipt=receipt)


def write_notes(apps, schema_editor):
    grants = apps.get_model("accessmgmt", "Grant").objects
    for grant in grants.filter(end_receipt__has_key="unseen_hosts").only("end_receipt").iterator():
        receipt = grant.end_receipt
        unseen = receipt.pop("unseen_hosts")
        notes = [f"Sessions at {each['host']} could not be looked for: {each['why']}" for each in unseen]
        receipt["notes"] = [*receipt["notes"], *notes]
        grants.filter(pk=grant.pk).update(end_receipt=receipt)


class Migration(migrations.Migration):
    dependencies = [("accessmgmt", "0014_target_look")]

    operations = [migrations.RunPython(read_notes, write_notes)]
