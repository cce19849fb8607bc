"""The audit trail: rows that can be added, and nothing else."""

from __future__ import annotations

from django.db import models


class AuditEvent(models.Model):
    """One row is one act. Names are frozen copies, so that a row says the same for ever.

    The database refuses UPDATE, DELETE and TRUNCATE by trigger. `actor_id` is 0 for the portal itself. The event is the
    `number`th of its slot, and `mac` authenticates both: who writes into the database can neither add nor remove one.
    """

    at = models.DateTimeField()
    actor_id = models.BigIntegerField(default=0)
    actor_email = models.CharField(max_length=254)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=255)
    details = models.JSONField(default=dict)
    slot = models.PositiveSmallIntegerField()
    number = models.BigIntegerField()
    mac = models.CharField(max_length=64)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("slot", "number"), name="audit_event_numbered_once"),)
        indexes = (
            # The time line of one object, and the list filtered by person or by action.
            models.Index(fields=("object_type", "object_id", "-id"), name="audit_event_by_object"),
            models.Index(fields=("actor_email", "-id"), name="audit_event_by_actor"),
            models.Index(fields=("action", "-id"), name="audit_event_by_action"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_email} {self.action} {self.object_name}"


class AuditSlot(models.Model):
    """One row counts the events of one slot, and `mac` authenticates the count. DELETE and TRUNCATE are refused."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    count = models.BigIntegerField(default=0)
    mac = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"slot {self.pk}"


class AuditSeal(models.Model):
    """One row seals one event: `hash` covers the event and the seal before it; `sequence` has no gaps."""

    sequence = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(AuditEvent, on_delete=models.DO_NOTHING, related_name="seal")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("sequence",)

    def __str__(self) -> str:
        return f"seal {self.sequence}"
