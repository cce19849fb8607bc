"""Records what was done, and seals it into a hash chain."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone

from accessmgmt.models import AuditEvent, AuditSeal, User

PORTAL = "portal"
SEAL_LOCK = 0x5EA1
GENESIS = "0" * 64
BATCH = 1_000


def record(actor: User | None, action: str, subject: models.Model, **details: Any) -> AuditEvent:
    """Add an event in the caller's transaction (promise 9). `actor` None means the portal itself.

    `details` must be JSON-able and free of secrets.
    """
    event = _event(actor, action, subject, details)
    event.save(force_insert=True)
    return event


def record_many(actor: User | None, action: str, subjects: Sequence[tuple[models.Model, dict[str, Any]]]) -> None:
    """Add one event for each pair of subject and details, in one statement and in the caller's transaction."""
    AuditEvent.objects.bulk_create(_event(actor, action, subject, details) for subject, details in subjects)


def _event(actor: User | None, action: str, subject: models.Model, details: dict[str, Any]) -> AuditEvent:
    return AuditEvent(
        at=timezone.now(),
        actor_id=actor.pk if actor else 0,
        actor_email=actor.email if actor else PORTAL,
        action=action,
        object_type=subject._meta.model_name or "",
        object_id=str(subject.pk),
        object_name=_object_name(subject),
        details=details,
    )


def _object_name(subject: models.Model) -> str:
    endpoint = getattr(subject, "endpoint", None)
    return str(endpoint if endpoint is not None else subject)[:255]


def event_hash(event: AuditEvent, previous_hash: str) -> str:
    """Return the HMAC-SHA256 that seals an event to the seal before it, 64 hexadecimal digits.

    The key is not in the database: who can write there still cannot make a chain that holds.
    """
    document = {
        "id": event.pk,
        "at": event.at.isoformat(),
        "actor_id": event.actor_id,
        "actor_email": event.actor_email,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "details": event.details,
        "previous_hash": previous_hash,
    }
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hmac.new(settings.PORTAL_AUDIT_KEY.encode(), text.encode(), "sha256").hexdigest()


def chain_head() -> tuple[int, str]:
    """Return the sequence number and hash of the newest seal: noted elsewhere, it proves that none was cut off."""
    last = AuditSeal.objects.order_by("-sequence").first()
    return (last.sequence, last.hash) if last else (0, GENESIS)


@transaction.atomic
def seal_events() -> int:
    """Seal the events that are not sealed yet, oldest first, at most BATCH; return how many.

    One sealer at a time (advisory lock): recording never waits for sealing, and the chain has no fork.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEAL_LOCK])
        row = cursor.fetchone()
    if not row or not row[0]:
        return 0
    sequence, previous = chain_head()
    seals = []
    for event in AuditEvent.objects.filter(seal__isnull=True).order_by("id")[:BATCH]:
        sequence += 1
        sealed = event_hash(event, previous)
        seals.append(AuditSeal(sequence=sequence, event=event, previous_hash=previous, hash=sealed))
        previous = sealed
    AuditSeal.objects.bulk_create(seals)
    return len(seals)


def broken_seals() -> list[int]:
    """Walk the whole chain and return the sequence numbers whose hash, order or event does not hold."""
    broken = []
    previous, expected = GENESIS, 1
    for seal in AuditSeal.objects.select_related("event").order_by("sequence").iterator(chunk_size=2_000):
        if seal.sequence != expected or seal.previous_hash != previous or event_hash(seal.event, previous) != seal.hash:
            broken.append(seal.sequence)
        previous, expected = seal.hash, seal.sequence + 1
    return broken
