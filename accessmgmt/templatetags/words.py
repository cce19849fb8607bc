"""Words of domain/words.py on pages: states as badges, steps, addresses."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from accessmgmt.domain.drift import Severity
from accessmgmt.domain.emails import show_address
from accessmgmt.domain.states import GrantState, RequestState
from accessmgmt.domain.targets import RungState
from accessmgmt.domain.words import (
    DRIFT_SEVERITY_WORDS,
    OVERDUE,
    RUNG_STATE_WORDS,
    end_step_words,
    state_words,
    work_words,
)
from accessmgmt.templatetags.icons import badge

register = template.Library()
register.filter(state_words)
register.filter(end_step_words)
register.filter(work_words)

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


@register.filter
def in_states(state: str, states: str) -> bool:
    """Say whether a state is one of several: {% if grant.state|in_states:"queued applying" %}."""
    return state in states.split()


@register.filter
def address(email: str) -> str:
    """Write a stored e-mail address with the letters of its domain: ana@xn--mller-kva.de is ana@müller.de."""
    return show_address(email)
