"""The audit trail: rows that can be added, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, models, transaction

OWNS_IT = "SELECT current_user, pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%s)"


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

    @classmethod
    def check(cls, *, databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
        """Warn where the role that runs the portal owns the audit trail: it could switch the triggers off."""
        found = super().check(databases=databases, **kwargs)
        if DEFAULT_DB_ALIAS not in (databases or ()):
            return found
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(OWNS_IT, [cls._meta.db_table])
                role, is_owner = cursor.fetchone() or ("", False)
        except DatabaseError:  # it cannot be asked now
            return found
        if is_owner:
            hint = "Let another role own the tables, and name it in PORTAL_OWNER_DATABASE_URL for manage.py migrate."
            what = f"The portal runs as {role}, which owns the audit trail and could switch its triggers off."
            found.append(checks.Warning(what, hint=hint, obj=cls, id="accessmgmt.W002"))
        return found


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
