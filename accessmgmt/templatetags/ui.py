"""Small pieces that every page uses: icons, instants, badges, fields, links."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from django import template
from django.conf import settings
from django.core.paginator import Page
from django.forms import BaseForm, BoundField, widgets
from django.http import QueryDict
from django.template import RequestContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from accessmgmt.domain.drift import Severity
from accessmgmt.domain.emails import show_address
from accessmgmt.domain.states import GrantState, RequestState
from accessmgmt.domain.targets import RungState
from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.domain.words import DRIFT_SEVERITY_WORDS, OVERDUE, RUNG_STATE_WORDS, end_step_words, state_words
from accessmgmt.models import User
from accessmgmt.policy.people import is_auditor

register = template.Library()
register.filter(state_words)
register.filter(end_step_words)

ICON_NAME = re.compile(r"[a-z0-9-]+")
MINUTE, HOUR, DAY = 60, 3_600, 86_400
STATE_LOOKS = {
    GrantState.QUEUED: ("blue", "hourglass"),
    GrantState.APPLYING: ("blue", "loader-2"),
    GrantState.ACTIVE: ("green", "circle-check"),
    GrantState.ENDING: ("amber", "clock-stop"),
    GrantState.ENDED: ("grey", "circle-minus"),
    GrantState.FAILED: ("red", "alert-triangle"),
    OVERDUE: ("red", "alert-triangle"),
    RequestState.PENDING: ("amber", "hourglass"),
    RequestState.APPROVED: ("green", "circle-check"),
    RequestState.DENIED: ("red", "ban"),
    RequestState.CANCELLED: ("grey", "circle-x"),
    RequestState.LAPSED: ("grey", "clock-off"),
}
RUNG_LOOKS = {
    RungState.PASSED: ("green", "check"),
    RungState.WARNED: ("amber", "alert-triangle"),
    RungState.FAILED: ("red", "x"),
    RungState.SKIPPED: ("grey", "minus"),
}
SEVERITY_LOOKS = {
    Severity.ALARM: ("red", "alert-triangle"),
    Severity.WARNING: ("amber", "alert-circle"),
    Severity.NOTE: ("grey", "info-circle"),
}
"""The colour and the icon of a badge; its words are those of domain/words.py."""


@lru_cache(maxsize=512)
def _icon_body(name: str, style: str) -> str:
    """Return what stands inside the <svg> of an icon's file. Raises TemplateSyntaxError for an unknown icon."""
    path = Path(settings.ICONS_DIR) / style / f"{name}.svg"
    if ICON_NAME.fullmatch(name) is None or not path.is_file():
        raise template.TemplateSyntaxError(f"There is no {style} icon “{name}”.")
    text = path.read_text(encoding="utf-8")
    return text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")].strip()


@register.simple_tag
def icon(name: str, *, filled: bool = False, **attributes: str) -> SafeString:
    """Inline an icon: {% icon "database" class="text-red" %}. Decorative: a word stands beside it."""
    return _svg(name, attributes.get("class", ""), filled=filled)


def _svg(name: str, classes: str, *, filled: bool = False) -> SafeString:
    style = "filled" if filled else "outline"
    paint = 'fill="currentColor"' if filled else 'fill="none" stroke="currentColor" stroke-width="2"'
    return format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24" {} stroke-linecap="round"'
        ' stroke-linejoin="round" class="icon {}" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(paint),  # noqa: S308 - one of two constants
        classes,
        mark_safe(_icon_body(name, style)),  # noqa: S308 - a file of the icon package
    )


@register.simple_tag
def instant(when: datetime | str | None) -> SafeString:
    """Show an instant as a relative time, with the exact one on hover. Text is read as ISO 8601; None gives a dash."""
    moment = _aware(when)
    if moment is None:
        return mark_safe('<span class="text-secondary">—</span>')
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        exact_words(moment),
        relative_words(moment, timezone.now()),
    )


@register.simple_tag
def exact(when: datetime | str | None) -> SafeString:
    """Show an instant exactly, in the viewer's zone, with UTC on hover."""
    moment = _aware(when)
    if moment is None:
        return mark_safe('<span class="text-secondary">—</span>')
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(UTC).isoformat(timespec="milliseconds"),
        exact_words(moment),
        f"{local:%d %b %Y, %H:%M:%S}",
    )


@register.simple_tag
def countdown(until: datetime | None, warns_at: datetime | None = None) -> SafeString:
    """Show the time that is left, counted down in the browser; amber from `warns_at` on."""
    if until is None:
        return mark_safe('<span class="text-secondary">—</span>')
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


def span_words(seconds: float) -> str:
    """Return a short span: "0.8 s", or "2 minutes 5 seconds". static/js/app.js does the same."""
    return f"{seconds:.1f} s" if seconds < MINUTE else ttl_in_words(int(seconds))


@register.filter
def after(later: datetime | None, earlier: datetime | None) -> str:
    """Write how long something took: {{ grant.active_at|after:grant.queued_at }} is "0.8 s"."""
    return span_words((later - earlier).total_seconds()) if later and earlier else "—"


def exact_words(moment: datetime) -> str:
    """Return an instant in the viewer's zone, and in UTC when that is another one."""
    local = timezone.localtime(moment)
    zone = timezone.get_current_timezone()
    name = zone.key if isinstance(zone, zoneinfo.ZoneInfo) else str(local.tzname())
    text = f"{local:%a %d %b %Y %H:%M:%S} {name}"
    return text if local.utcoffset() == UTC.utcoffset(None) else f"{text} ({moment.astimezone(UTC):%d %b %H:%M:%S} UTC)"


def relative_words(moment: datetime, now: datetime) -> str:
    """Return "3 minutes ago" or "in 2 hours"; far away it is the date. static/js/app.js does the same."""
    seconds = (moment - now).total_seconds()
    size = abs(seconds)
    if size < 45:
        return "just now" if seconds <= 0 else "in a moment"
    if size >= 30 * DAY:
        return f"{timezone.localtime(moment):%d %b %Y}"
    if size < HOUR:
        count, unit = max(1, int(size // MINUTE)), "minute"
    elif size < DAY:
        count, unit = int(size // HOUR), "hour"
    else:
        count, unit = int(size // DAY), "day"
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if seconds < 0 else f"in {words}"


def clock_words(seconds: float) -> str:
    """Return the time left as "2 d 03 h", "7:59:08" or "4:05". static/js/app.js does the same."""
    rest = max(0, int(seconds))
    days, rest = divmod(rest, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _aware(when: datetime | str | None) -> datetime | None:
    if not when:
        return None
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


@register.filter
def address(email: str) -> str:
    """Write a stored e-mail address with the letters of its domain: ana@xn--mller-kva.de is ana@müller.de."""
    return show_address(email)


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


@register.simple_tag
def state_badge(state: str) -> SafeString:
    """Show a grant's or a request's state as a word with colour and icon."""
    colour, name = STATE_LOOKS.get(state, ("grey", "point"))
    return badge(state_words(state).capitalize(), colour=colour, icon=name)


@register.simple_tag
def rung_badge(state: RungState) -> SafeString:
    """Show how one rung of a connection test came out."""
    colour, name = RUNG_LOOKS[state]
    return badge(RUNG_STATE_WORDS[state].capitalize(), colour=colour, icon=name)


@register.simple_tag
def severity_badge(severity: Severity) -> SafeString:
    """Show how grave a difference on a server is."""
    colour, name = SEVERITY_LOOKS[severity]
    return badge(DRIFT_SEVERITY_WORDS[severity].capitalize(), colour=colour, icon=name)


@register.simple_tag
def badge(word: str, *, colour: str = "grey", icon: str = "") -> SafeString:
    """Show a word on a tinted pill; `colour` is grey, blue, green, amber or red."""
    picture = _svg(icon, "icon-spin" if icon == "loader-2" else "") if icon else ""
    return format_html('<span class="state state-{}">{}{}</span>', colour, picture, word)


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, **options: Any) -> dict[str, Any]:
    """Render a label, the widget with Tabler's classes, the help text and the errors of one form field.

    Options: `class` for the wrapper, `label` instead of the field's own, `hide_label=True`, any other one becomes an
    attribute of the widget (`autocomplete="off"`, `hx_get=…`: underscores become hyphens).
    """
    wrapper = options.pop("class", "mb-3")
    label = options.pop("label", bound.label)
    hide_label = options.pop("hide_label", False)
    widget = bound.field.widget
    kind = _kind_of(widget)
    described = []
    if bound.help_text:
        described.append(f"{bound.auto_id}-help")
    if bound.errors:
        described.append(f"{bound.auto_id}-error")
    own = str(widget.attrs.get("class", ""))
    looks = {"check": "form-check-input", "choices": "form-check-input", "select": "form-select"}
    attributes: dict[str, Any] = {name.replace("_", "-"): value for name, value in options.items()}
    attributes["class"] = " ".join(
        filter(None, [looks.get(kind, "form-control"), own, "is-invalid" if bound.errors else ""])
    )
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if bound.errors:
        attributes["aria-invalid"] = "true"
    return {
        "field": bound,
        "kind": kind,
        "wrapper": wrapper,
        "label": label,
        "hide_label": hide_label,
        "widget": "" if kind == "choices" else bound.as_widget(attrs=attributes),
        "choices": _choices(bound, attributes) if kind == "choices" else (),
    }


def _kind_of(widget: widgets.Widget) -> str:
    if isinstance(widget, widgets.RadioSelect | widgets.CheckboxSelectMultiple):
        return "choices"
    if isinstance(widget, widgets.CheckboxInput):
        return "check"
    if isinstance(widget, widgets.Select):
        return "select"
    return "input"


def _choices(bound: BoundField, attributes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give each choice its own input; what describes the whole set stands on the fieldset."""
    shared = {name: value for name, value in attributes.items() if not name.startswith("aria-")}
    for choice in bound.subwidgets:
        look = {**choice.data["attrs"], **shared}
        yield {
            "id": choice.id_for_label,
            "label": choice.choice_label,
            "input": choice.parent_widget._render(  # type: ignore[attr-defined]
                choice.data["template_name"], {"widget": {**choice.data, "attrs": look, "wrap_label": False}}
            ),
        }


@register.inclusion_tag("components/form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """Show what is wrong with a form as a whole."""
    return {"errors": form.non_field_errors() if form.is_bound else []}


@register.inclusion_tag("components/empty_state.html")
def empty_state(
    *, title: str, text: str = "", icon: str = "database-off", url: str = "", label: str = ""
) -> dict[str, Any]:
    """Say why a list is empty and what to do first."""
    return {"icon": icon, "title": title, "text": text, "url": url, "label": label}


@register.inclusion_tag("components/copy_button.html")
def copy_button(*, target: str, label: str = "Copy", **options: str) -> dict[str, Any]:
    """Copy the text of the element that the selector names. Needs JavaScript, so it is hidden without."""
    return {"target": target, "label": label, "extra": options.get("class", "")}


@register.simple_tag(takes_context=True)
def query_replace(context: RequestContext, **changes: Any) -> str:
    """Return the current query string with changes: {% query_replace page=2 %}; None removes a key."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else QueryDict(mutable=True)
    for name, value in changes.items():
        query.pop(name, None)
        if value not in (None, ""):
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.simple_tag
def page_numbers(page: Page[Any]) -> list[int | str]:
    """Return the page numbers to show around the current one; "…" stands for those left out."""
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1))


@register.inclusion_tag("components/nav_link.html", takes_context=True)
def nav_link(
    context: RequestContext, name: str, label: str, icon: str, *, count: int | None = None, tone: str = ""
) -> dict[str, Any]:
    """Show one entry of the navigation. It is the current one when the page's URL name begins with the same noun."""
    request = context.get("request")
    match = getattr(request, "resolver_match", None)
    noun = (match.url_name or "").partition("-")[0] if match else ""
    user = context.get("user")
    if noun == "grant" and not (isinstance(user, User) and is_auditor(user)):
        noun = "my"
    return {
        "name": name,
        "url": reverse(f"accessmgmt:{name}"),
        "label": label,
        "icon": icon,
        "count": count,
        "tone": tone,
        "is_current": noun == name.partition("-")[0],
    }


@register.filter
def in_states(state: str, states: str) -> bool:
    """Say whether a state is one of several: {% if grant.state|in_states:"queued applying" %}."""
    return state in states.split()
