"""Records what was done, in the transaction of the act. The chain over it is made in audit_chain.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from accessmgmt.domain.actions import Action, ObjectType
from accessmgmt.domain.audit_proof import SLOTS, event_mac, slot_mac
from accessmgmt.models import AuditEvent, AuditSlot, User

PORTAL = "portal"
COLUMNS = (
    "at", "actor_id", "actor_email", "action", "object_type", "object_id", "object_name", "details", "slot", "number",
    "mac",
)  # fmt: skip
# Every act records something: these few statements are written out, because composing them took longer than running.
FREE = "SELECT id, count FROM accessmgmt_auditslot ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
ANY = "SELECT id, count FROM accessmgmt_auditslot ORDER BY random() LIMIT 1 FOR UPDATE"
COUNT = "UPDATE accessmgmt_auditslot SET count = %s, mac = %s WHERE id = %s"
ADD = f"INSERT INTO accessmgmt_auditevent ({', '.join(COLUMNS)}) VALUES {{}} RETURNING id"  # noqa: S608


def record(actor: User | None, action: Action, subject: models.Model, **details: Any) -> AuditEvent:
    """Add an event in the caller's transaction: the act and its event are there together, or neither.

    `actor` None means the portal itself. `details` must be JSON-able and free of secrets.
    """
    return record_many(actor, action, [(subject, details)])[0]


@transaction.atomic
def record_many(
    actor: User | None, action: Action, subjects: Sequence[tuple[models.Model, dict[str, Any]]]
) -> list[AuditEvent]:
    """Add one event for each pair of subject and details, in the caller's transaction."""
    if not subjects:
        return []
    events = [_event(actor, action, subject, details) for subject, details in subjects]
    with connection.cursor() as cursor:
        slot, count = _free_slot(cursor)
        for number, event in enumerate(events, start=count + 1):
            event.slot, event.number = slot, number
            event.mac = event_mac(settings.PORTAL_AUDIT_KEY, content_of(event), slot=slot, number=number)
        count += len(events)
        cursor.execute(COUNT, [count, slot_mac(settings.PORTAL_AUDIT_KEY, slot, count), slot])
        rows = [[_stored(event, column) for column in COLUMNS] for event in events]
        # One statement for all: RETURNING keeps the order of VALUES.
        values = ", ".join([f"({', '.join(['%s'] * len(COLUMNS))})"] * len(rows))
        cursor.execute(ADD.format(values), [value for row in rows for value in row])
        for event, (pk,) in zip(events, cursor.fetchall(), strict=True):
            event.pk, event._state.adding = pk, False
    return events


def _stored(event: AuditEvent, column: str) -> Any:
    value = getattr(event, column)
    return json.dumps(value) if column == "details" else value


def content_of(event: AuditEvent) -> dict[str, object]:
    """Return what an event says, without its place among the others."""
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


def _free_slot(cursor: CursorWrapper) -> tuple[int, int]:
    """Take a counter that no other open transaction holds; it is ours until the commit. The first use makes them."""
    cursor.execute(FREE)
    row = cursor.fetchone()
    if row is None and not AuditSlot.objects.exists():
        key = settings.PORTAL_AUDIT_KEY
        slots = [AuditSlot(pk=pk, count=0, mac=slot_mac(key, pk, 0)) for pk in range(SLOTS)]
        AuditSlot.objects.bulk_create(slots, ignore_conflicts=True)
        return _free_slot(cursor)
    if row is None:
        cursor.execute(ANY)
        row = cursor.fetchone()
    slot, count = row
    return int(slot), int(count)


def _event(actor: User | None, action: Action, subject: models.Model, details: dict[str, Any]) -> AuditEvent:
    return AuditEvent(
        at=timezone.now(),
        actor_id=actor.pk if actor else 0,
        actor_email=actor.email if actor else PORTAL,
        action=action.value,
        object_type=ObjectType(subject._meta.model_name or "").value,
        object_id=str(subject.pk),
        object_name=_object_name(subject),
        details=json.loads(json.dumps(details)),  # as it comes back from the database: it is authenticated like this
    )


def _object_name(subject: models.Model) -> str:
    endpoint = getattr(subject, "endpoint", None)
    return str(endpoint if endpoint is not None else subject)[:255]
