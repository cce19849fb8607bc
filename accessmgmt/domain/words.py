"""The words of states, reasons, steps and findings: pages, mails, the API and the command line say the same.

Everything is a part of a sentence and begins with a small letter, except the titles of `DRIFT_KIND_WORDS` and the
steps, which stand alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from accessmgmt.domain.drift import DriftKind, Severity
from accessmgmt.domain.states import EndReason, GrantState, RequestState, Work
from accessmgmt.domain.targets import RungState

LIVE = "live"
OVERDUE = "overdue"
"""Not states that are stored: a live grant may have a login on the server, an overdue one should have none any more."""

GRANT_STATE_WORDS: Mapping[GrantState, str] = {
    GrantState.QUEUED: "queued",
    GrantState.APPLYING: "applying",
    GrantState.ACTIVE: "active",
    GrantState.ENDING: "ending",
    GrantState.ENDED: "ended",
    GrantState.FAILED: "failed",
}

REQUEST_STATE_WORDS: Mapping[RequestState, str] = {
    RequestState.PENDING: "pending",
    RequestState.APPROVED: "approved",
    RequestState.DENIED: "denied",
    RequestState.CANCELLED: "cancelled",
    RequestState.LAPSED: "lapsed",
}

END_REASON_WORDS: Mapping[EndReason, str] = {
    EndReason.EXPIRED: "its time was over",
    EndReason.RELEASED: "released by its person",
    EndReason.REVOKED: "ended by an admin",
    EndReason.CANCELLED: "cancelled before it was applied",
    EndReason.SUPERSEDED: "replaced by a newer grant",
}

WORK_WORDS: Mapping[Work, str] = {
    Work.APPLY: "giving access",
    Work.END: "ending access",
    Work.COMPARE: "comparing it with what was given",
}

RUNG_STATE_WORDS: Mapping[RungState, str] = {
    RungState.PASSED: "passed",
    RungState.WARNED: "warning",
    RungState.FAILED: "failed",
    RungState.SKIPPED: "skipped",
}

DRIFT_SEVERITY_WORDS: Mapping[Severity, str] = {
    Severity.ALARM: "more than approved",
    Severity.WARNING: "differs",
    Severity.NOTE: "note",
}

DRIFT_KIND_WORDS: Mapping[DriftKind, str] = {
    DriftKind.PRIVILEGE: "Privileges of capability roles",
    DriftKind.GRANTOR: "Granted by others",
    DriftKind.DIRECT: "Granted directly to logins",
    DriftKind.OWNERSHIP: "Owned by capability roles",
    DriftKind.PASSED_ON: "Passed on by capability roles",
    DriftKind.MEMBERSHIP: "Memberships",
    DriftKind.ATTRIBUTE: "Attributes of roles",
    DriftKind.VANISHED: "Grants whose role is gone",
    DriftKind.FOREIGN: "Roles that are not provably the portal's",
    DriftKind.ORPHAN: "Roles with the portal's tag that it does not know",
    DriftKind.SESSION: "Sessions that outlived their login",
    DriftKind.SETTING: "Settings of roles",
    DriftKind.POLICY: "Policies written for capability roles",
    DriftKind.UNUSED: "Capability roles that nothing needs",
}
"""In the order in which a page shows them."""

END_STEP_WORDS: Mapping[str, str] = {
    "fence": "Membership revoked, sign-in closed",
    "sessions": "Sessions cut",
    "standby": "Gone on the standby",
    "others": "Sessions cut on the other hosts",
    "drop": "Login dropped",
    "verify": "Looked for it again",
    "total": "Together",
}

_STATE_WORDS: Mapping[str, str] = {
    **{state.value: words for state, words in GRANT_STATE_WORDS.items()},
    **{state.value: words for state, words in REQUEST_STATE_WORDS.items()},
    LIVE: "live",
    OVERDUE: "overdue",
}


def state_words(state: str) -> str:
    """Say the state of a grant or of a request, LIVE or OVERDUE. A state that is not known keeps its name."""
    return _STATE_WORDS.get(state, state)


def end_reason_words(reason: str) -> str:
    """Say why a grant ends; "" while nobody has asked for its end."""
    return END_REASON_WORDS[EndReason(reason)] if reason else ""


def end_step_words(step: str) -> str:
    """Say what a step of an ending did. A step of an older receipt keeps its name."""
    return END_STEP_WORDS.get(step, step.capitalize())


def work_words(work: str) -> str:
    """Return the words of what workers do on a server."""
    return WORK_WORDS[Work(work)]
