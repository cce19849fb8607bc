"""The audit trail as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from accessmgmt.domain.actions import ActionSeverity, find_action, find_object_type
from accessmgmt.domain.emails import search_spelling
from accessmgmt.models import AuditEvent

LONGEST_TEXT = 400
TONES = {ActionSeverity.WARNING: "amber", ActionSeverity.CRITICAL: "red"}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What the list is narrowed to; "" and None stand for everything. Days are those of the viewer's zone."""

    person: str = ""
    object_type: str = ""
    object_id: str = ""
    action: str = ""
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One line of an event's details: a field, and what it said before and after."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event, ready for the page. `facts` are details without a before; `tone` is "" for what alarms nobody."""

    event: AuditEvent
    words: str
    object_words: str
    tone: str
    has_before: bool
    changes: tuple[Change, ...]
    facts: tuple[tuple[str, str], ...]
    seal: str


def events_for_list(narrowed: EventFilter) -> QuerySet[AuditEvent]:
    """Events, newest first."""
    rows = AuditEvent.objects.select_related("seal").order_by("-id")
    if narrowed.person:
        rows = rows.filter(actor_email__icontains=search_spelling(narrowed.person))
    if narrowed.object_type:
        rows = rows.filter(object_type=narrowed.object_type)
    if narrowed.object_id:
        rows = rows.filter(object_id=narrowed.object_id)
    if narrowed.action:
        rows = rows.filter(action__istartswith=narrowed.action)
    if narrowed.first_day:
        rows = rows.filter(at__gte=_midnight(narrowed.first_day))
    if narrowed.last_day:
        rows = rows.filter(at__lt=_midnight(narrowed.last_day + timedelta(days=1)))
    return rows


def lines_of(events: Iterable[AuditEvent]) -> list[EventLine]:
    """Put events into words."""
    return [_line(event) for event in events]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _line(event: AuditEvent) -> EventLine:
    action, kind = find_action(event.action), find_object_type(event.object_type)
    words = action.words if action else _words(event.action.partition(".")[2] or event.action)
    details: dict[str, Any] = dict(event.details or {})
    before, after = details.pop("before", None), details.pop("after", None)
    changes: tuple[Change, ...] = ()
    if isinstance(after, dict):
        old = before if isinstance(before, dict) else {}
        said = (Change(_words(k), _text(old.get(k)), _text(v)) for k, v in sorted(after.items()))
        changes = tuple(change for change in said if change.before != change.after)
    elif before is not None or after is not None:
        changes = (Change(words, _text(before), _text(after)),)
    seal = getattr(event, "seal", None)
    return EventLine(
        event=event,
        words=words,
        object_words=kind.words if kind else event.object_type,
        tone=TONES.get(action.severity, "") if action else "",
        has_before=bool(before),
        changes=changes,
        facts=tuple((_words(name), _text(value)) for name, value in sorted(details.items())),
        seal=seal.hash if seal is not None else "",
    )


def _words(name: str) -> str:
    return name.removesuffix("_id").replace("_", " ")


def _text(value: Any) -> str:
    """Write a value of the details for a person; long texts such as certificates are cut."""
    match value:
        case None | "":
            return "—"
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(item, str | int | float) for item in value):
            text = ", ".join(str(item) for item in value) or "—"
        case dict() if all(isinstance(item, str | int | float) for item in value.values()):
            text = ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) or "—"
        case dict() | list():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
            if "-----BEGIN CERTIFICATE-----" in text:
                return f"a certificate in PEM form ({len(text)} characters)"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"
