"""Seals events into a hash chain, notes its head outside the database, and verifies all of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Max, Min
from django.utils import timezone

from accessmgmt.domain.audit_proof import GENESIS, SLOTS, Checkpoint, event_mac, read_checkpoint, seal_hash, slot_mac
from accessmgmt.models import AuditEvent, AuditSeal, AuditSlot, User
from accessmgmt.services.audit.trail import content_of

logger = logging.getLogger(__name__)
SEAL_LOCK = 0x5EA1
BATCH = 1_000
MOST_NAMED = 100


def event_hash(event: AuditEvent, previous_hash: str) -> str:
    """Return what seals an event to the seal before it, 64 hexadecimal digits."""
    return seal_hash(settings.PORTAL_AUDIT_KEY, {"id": event.pk, **content_of(event)}, previous_hash)


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
    if seals:
        transaction.on_commit(partial(_note_head, Checkpoint(timezone.now().isoformat(), sequence, previous)))
    return len(seals)


def _note_head(head: Checkpoint) -> None:
    """Write the head where the database's writers cannot reach: into the log, and into the file of checkpoints."""
    logger.info("audit head %d:%s", head.sequence, head.hash)
    if not settings.PORTAL_AUDIT_CHECKPOINTS:
        return
    try:
        descriptor = os.open(settings.PORTAL_AUDIT_CHECKPOINTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(head.as_line(settings.PORTAL_AUDIT_KEY) + "\n")
    except OSError as error:
        logger.error("The audit checkpoint %d could not be written: %s", head.sequence, error)


def find_tampering() -> list[str]:
    """Verify the whole trail and return what does not hold, in words; nothing when it does.

    Four proofs, each for what the others cannot see: every event is authentic; every slot has exactly the events that
    it counted; the chain has no gap; every checkpoint is still in it. Read in one snapshot, beside a running portal.
    """
    with _snapshot():
        return [*_empty_trail(), *_events_not_authentic(), *_slots_that_differ(), *_broken_seals(), *_checkpoints()]


@contextmanager
def _snapshot() -> Iterator[None]:
    """Let all questions see one state, unless the caller has a transaction of its own."""
    is_inside = connection.in_atomic_block
    with transaction.atomic():
        if not is_inside:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _empty_trail() -> Iterator[str]:
    if not AuditEvent.objects.exists() and User.objects.exists():
        yield "The trail is empty, and it cannot be: there are accounts, and making one is recorded."


def _events_not_authentic() -> Iterator[str]:
    key = settings.PORTAL_AUDIT_KEY
    for event in AuditEvent.objects.order_by("id").iterator(chunk_size=2_000):
        if event.mac != event_mac(key, content_of(event), slot=event.slot, number=event.number):
            yield f"Event {event.pk} was not written by the portal, or was changed."


def _slots_that_differ() -> Iterator[str]:
    rows = AuditEvent.objects.order_by().values("slot")
    rows = rows.annotate(
        events=Count("pk"), numbers=Count("number", distinct=True), low=Min("number"), high=Max("number")
    )
    found = {row["slot"]: row for row in rows}
    slots = {slot.pk: slot for slot in AuditSlot.objects.all()}
    if found and len(slots) != SLOTS:
        yield f"{SLOTS - len(slots)} of the {SLOTS} counters of events are missing."
    for pk in sorted({*found, *slots}):
        slot, row = slots.get(pk), found.get(pk)
        count = slot.count if slot is not None else 0
        if slot is not None and slot.mac != slot_mac(settings.PORTAL_AUDIT_KEY, pk, count):
            yield f"The counter {pk} was not written by the portal, or was changed."
        there = row["events"] if row else 0
        if there != count or (row and (row["numbers"], row["low"], row["high"]) != (count, 1, count)):
            yield f"Of the {count} events that the counter {pk} has counted, {there} are there."


def _broken_seals() -> Iterator[str]:
    previous, expected = GENESIS, 1
    for seal in AuditSeal.objects.select_related("event").order_by("sequence").iterator(chunk_size=2_000):
        if seal.sequence != expected or seal.previous_hash != previous or event_hash(seal.event, previous) != seal.hash:
            yield f"The chain does not hold at seal {seal.sequence}."
        previous, expected = seal.hash, seal.sequence + 1


def _checkpoints() -> Iterator[str]:
    if not settings.PORTAL_AUDIT_CHECKPOINTS:
        return
    path = Path(settings.PORTAL_AUDIT_CHECKPOINTS)
    if not path.exists():
        if AuditSeal.objects.exists():
            yield f"The file of checkpoints, {path.name}, is missing."
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            head = read_checkpoint(line, settings.PORTAL_AUDIT_KEY)
            if head is None:
                yield f"Line {number} of {path.name} was not written by the portal, or was changed."
            elif problem := head_problem(head.sequence, head.hash):
                yield problem


def head_problem(sequence: int, digest: str) -> str:
    """Say what is wrong about a head that was noted earlier; "" when the chain still has it."""
    seal = AuditSeal.objects.filter(sequence=sequence).first()
    if seal is None and sequence:
        return f"Seal {sequence} is missing: the end of the chain was cut off."
    if seal is not None and seal.hash != digest:
        return f"Seal {sequence} is another one than the one that was noted."
    return ""
