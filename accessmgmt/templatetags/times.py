"""Instants and spans on pages. The words are those of domain/spans.py; static/js/spans.js lets them go on."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from accessmgmt.domain.spans import clock_words, relative_words, span_words
from accessmgmt.domain.ttl import ttl_in_words

register = template.Library()

DASH = mark_safe('<span class="text-secondary">—</span>')


@register.simple_tag
def instant(when: datetime | str | None) -> SafeString:
    """Show an instant as a relative time, with the exact one on hover. Text is read as ISO 8601; None gives a dash."""
    moment = _aware(when)
    if moment is None:
        return DASH
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        exact_words(moment),
        relative_words((moment - timezone.now()).total_seconds()) or f"{timezone.localtime(moment):%d %b %Y}",
    )


@register.simple_tag
def exact(when: datetime | str | None) -> SafeString:
    """Show an instant exactly, in the viewer's zone, with UTC on hover."""
    moment = _aware(when)
    if moment is None:
        return DASH
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(UTC).isoformat(timespec="milliseconds"),
        exact_words(moment),
        f"{timezone.localtime(moment):%d %b %Y, %H:%M:%S}",
    )


@register.simple_tag
def countdown(until: datetime | None, warns_at: datetime | None = None) -> SafeString:
    """Show the time that is left, counted down in the browser; amber from `warns_at` on."""
    if until is None:
        return DASH
    left = (until - timezone.now()).total_seconds()
    warns = (until - warns_at).total_seconds() if warns_at else 0
    return format_html(
        '<time class="countdown{}" datetime="{}" title="{}" data-countdown="{}" data-warns-below="{}">{}</time>',
        " is-near" if left <= warns else "",
        until.astimezone(UTC).isoformat(timespec="seconds"),
        f"until {exact_words(until)}",
        int(left),
        int(warns),
        clock_words(left),
    )


@register.simple_tag
def elapsed(since: datetime | None) -> SafeString:
    """Show the seconds since an instant, counted up in the browser."""
    if since is None:
        return mark_safe("")
    seconds = max(0.0, (timezone.now() - since).total_seconds())
    return format_html('<span class="elapsed" data-elapsed="{}">{}</span>', f"{seconds:.1f}", span_words(seconds))


@register.filter
def after(later: datetime | None, earlier: datetime | None) -> str:
    """Write how long something took: {{ grant.active_at|after:grant.queued_at }} is "0.8 s"."""
    return span_words((later - earlier).total_seconds()) if later and earlier else "—"


@register.filter
def duration(seconds: int | None) -> str:
    """Write seconds in words: {{ 5400|duration }} is "1 hour 30 minutes"."""
    return ttl_in_words(int(seconds)) if seconds is not None else "—"


@register.filter
def milliseconds(value: float | None) -> str:
    """Write milliseconds as "180 ms" or "1.4 s"."""
    if value is None:
        return "—"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def exact_words(moment: datetime) -> str:
    """Return an instant in the viewer's zone, and in UTC when that is another one."""
    local = timezone.localtime(moment)
    zone = timezone.get_current_timezone()
    name = zone.key if isinstance(zone, zoneinfo.ZoneInfo) else str(local.tzname())
    text = f"{local:%a %d %b %Y %H:%M:%S} {name}"
    return text if local.utcoffset() == UTC.utcoffset(None) else f"{text} ({moment.astimezone(UTC):%d %b %H:%M:%S} UTC)"


def _aware(when: datetime | str | None) -> datetime | None:
    if not when:
        return None
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
