"""Authenticate and number every audit event, those that are stored already too."""

from django.conf import settings
from django.db import migrations, models

from accessmgmt.domain.audit_proof import SLOTS, event_mac, slot_mac

BATCH = 2_000
TABLE = "accessmgmt_auditevent"

GUARD_SLOTS = """
CREATE TRIGGER accessmgmt_auditslot_append_only BEFORE DELETE ON accessmgmt_auditslot
    FOR EACH ROW EXECUTE FUNCTION accessmgmt_refuse_change();
CREATE TRIGGER accessmgmt_auditslot_no_truncate BEFORE TRUNCATE ON accessmgmt_auditslot
    FOR EACH STATEMENT EXECUTE FUNCTION accessmgmt_refuse_change();
"""


def authenticate_events(apps, schema_editor):
    """Number what is stored as the first events of slot 0, oldest first."""
    database = schema_editor.connection.alias
    events = apps.get_model("accessmgmt", "AuditEvent").objects.using(database)
    slots = apps.get_model("accessmgmt", "AuditSlot").objects.using(database)
    key, count, last = settings.PORTAL_AUDIT_KEY, 0, 0
    schema_editor.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER {TABLE}_append_only")
    while batch := list(events.filter(pk__gt=last).order_by("pk")[:BATCH]):
        for event in batch:
            count += 1
            event.slot, event.number = 0, count
            event.mac = event_mac(key, content_of(event), slot=0, number=count)
        events.bulk_update(batch, ["slot", "number", "mac"])
        last = batch[-1].pk
    schema_editor.execute(f"ALTER TABLE {TABLE} ENABLE TRIGGER {TABLE}_append_only")
    counts = {0: count}
    slots.bulk_create(
        slots.model(pk=pk, count=counts.get(pk, 0), mac=slot_mac(key, pk, counts.get(pk, 0))) for pk in range(SLOTS)
    )


def content_of(event):
    """What services/audit.py authenticates of an event, as it was when this migration was written."""
    return {
        "at": event.at.isoformat(),
        "actor_id": event.actor_id,
        "actor_email": event.actor_email,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "details": event.details,
    }


class Migration(migrations.Migration):
    dependencies = [("accessmgmt", "0007_resource_silent")]

    operations = [
        migrations.CreateModel(
            name="AuditSlot",
            fields=[
                ("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("count", models.BigIntegerField(default=0)),
                ("mac", models.CharField(max_length=64)),
            ],
        ),
        migrations.RunSQL(GUARD_SLOTS, migrations.RunSQL.noop),
        migrations.AddField("auditevent", "slot", models.PositiveSmallIntegerField(null=True)),
        migrations.AddField("auditevent", "number", models.BigIntegerField(null=True)),
        migrations.AddField("auditevent", "mac", models.CharField(max_length=64, null=True)),
        migrations.RunPython(authenticate_events, migrations.RunPython.noop),
        migrations.AlterField("auditevent", "slot", models.PositiveSmallIntegerField()),
        migrations.AlterField("auditevent", "number", models.BigIntegerField()),
        migrations.AlterField("auditevent", "mac", models.CharField(max_length=64)),
        migrations.AddConstraint(
            "auditevent", models.UniqueConstraint(fields=("slot", "number"), name="audit_event_numbered_once")
        ),
    ]
