"""Records what was done, in the transaction of the act. The chain over it is made in audit_chain.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from accessmgmt.domain.audit_proof import SLOTS, event_mac, slot_mac
from accessmgmt.models import AuditEvent, AuditSlot, User

PORTAL = "portal"


def record(actor: User | None, action: str, subject: models.Model, **details: Any) -> AuditEvent:
    """Add an event in the caller's transaction: the act and its event are there together, or neither.

    `actor` None means the portal itself. `details` must be JSON-able and free of secrets.
    """
    return record_many(actor, action, [(subject, details)])[0]


@transaction.atomic
def record_many(
    actor: User | None, action: str, subjects: Sequence[tuple[models.Model, dict[str, Any]]]
) -> list[AuditEvent]:
    """Add one event for each pair of subject and details, in one statement and in the caller's transaction."""
    if not subjects:
        return []
    slot = _free_slot()
    events = [_event(actor, action, subject, details) for subject, details in subjects]
    for event in events:
        slot.count += 1
        event.slot, event.number = slot.pk, slot.count
        event.mac = event_mac(settings.PORTAL_AUDIT_KEY, content_of(event), slot=event.slot, number=event.number)
    slot.mac = slot_mac(settings.PORTAL_AUDIT_KEY, slot.pk, slot.count)
    slot.save(update_fields=["count", "mac"])
    return AuditEvent.objects.bulk_create(events)


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


def _free_slot() -> AuditSlot:
    """Take a counter that no other open transaction holds; it is ours until the commit. The first use makes them."""
    free = AuditSlot.objects.select_for_update(skip_locked=True).order_by("pk").first()
    if free is not None:
        return free
    if not AuditSlot.objects.exists():
        key = settings.PORTAL_AUDIT_KEY
        slots = [AuditSlot(pk=pk, count=0, mac=slot_mac(key, pk, 0)) for pk in range(SLOTS)]
        AuditSlot.objects.bulk_create(slots, ignore_conflicts=True)
        return _free_slot()
    return AuditSlot.objects.select_for_update().order_by("?")[:1].get()


def _event(actor: User | None, action: str, subject: models.Model, details: dict[str, Any]) -> AuditEvent:
    return AuditEvent(
        at=timezone.now(),
        actor_id=actor.pk if actor else 0,
        actor_email=actor.email if actor else PORTAL,
        action=action,
        object_type=subject._meta.model_name or "",
        object_id=str(subject.pk),
        object_name=_object_name(subject),
        details=json.loads(json.dumps(details)),  # as it comes back from the database: it is authenticated like this
    )


def _object_name(subject: models.Model) -> str:
    endpoint = getattr(subject, "endpoint", None)
    return str(endpoint if endpoint is not None else subject)[:255]
