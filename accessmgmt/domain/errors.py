"""Errors that a person reads, named by the reaction they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class AccessError(Exception):
    """Base of every error that may be shown to a person.

    `what` says what happened, `why` the reason, `todo` what to do next. None of them may hold a secret.
    """

    status_code = 400

    def __init__(self, what: str, *, why: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.todo) if part)


class ConflictError(AccessError):
    """Something changed in between, or the state does not allow the act: look again (HTTP 409)."""

    status_code = 409


class ForbiddenError(AccessError):
    """The person may see the object but not do this with it: ask someone (HTTP 403)."""

    status_code = 403


class TooManyError(AccessError):
    """Too much of it in too short a time: wait (HTTP 429)."""

    status_code = 429


class InvalidError(AccessError):
    """The input has to be changed (HTTP 422). `fields` maps a field's name to its messages."""

    status_code = 422

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        todo: str = "",
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(what, why=why, todo=todo)
        self.fields: dict[str, list[str]] = {name: list(texts) for name, texts in (fields or {}).items()}


class TargetError(AccessError):
    """A target server did not do what it was asked. `sqlstate` is the server's code, "" when it gave none.

    Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
    """

    status_code = 502
    is_server_wide = False
    """Whether the trouble is with the server as a whole, so that other work there would fail in the same way."""
    notes: tuple[str, ...] = ()
    """What was done all the same before it failed, and belongs into the receipt of a later try that succeeds."""

    def __init__(self, what: str, *, why: str = "", todo: str = "", sqlstate: str = "") -> None:
        super().__init__(what, why=why, todo=todo)
        self.sqlstate = sqlstate


class TargetUnavailable(TargetError):
    """The target cannot be reached, is busy or went away: the work is tried again later (HTTP 503)."""

    status_code = 503


class TargetRefused(TargetError):
    """The target answered and said no, and will say no again: a person has to act."""
