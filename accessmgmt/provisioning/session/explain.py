"""What a failed statement means: try it again at once, try later, or call a person. By SQLSTATE only.

The server's language may be any. Codes:
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.provisioning.statements.advice import SET_UP
from accessmgmt.provisioning.statements.base import GUARD_SQLSTATE

AT_ONCE = frozenset({"XX000", "40001", "40P01", "55P03", "23505", "42704", "42P01", "3F000", "42710"})
"""Somebody else was at work on the same thing: a new transaction reads again what there is, and goes on."""

LATER = frozenset({"57P01", "57P02", "57P03", "57P05", "57014", "53300", "53200", "53100", "25P03", "25P04", "58030"})
"""The server is busy, starting, stopping or full."""

LOST = frozenset({"57P01", "57P02", "57P05", "25P03", "25P04"})
"""The session was ended by the server."""

WHAT_TO_DO = {
    "25006": "This server is a standby: link its primary in the resource.",
    "54000": "A table's list of privileges is full: remove grants of roles that are gone from it.",
    "0LP01": "Take the privilege out of the authorization: this kind of relation does not have it.",
    "2BP01": "See which objects depend on the role, hand them to another owner, and the portal goes on.",
    "3D000": "Correct the database's name in the resource.",
    "28P01": "Correct the user name or the password in the resource.",
    "28000": "Look at pg_hba.conf on the server: it has to let this user in from the portal's address.",
}


def is_lost(error: psycopg.Error) -> bool:
    """Say whether the connection went away, so that nobody knows whether the statement took effect."""
    code = error.sqlstate
    return code is None or code in LOST or code.startswith("08")


def is_passing(code: str) -> bool:
    """Say whether what a server said when we logged in passes by itself: it is busy, full, starting or broken."""
    return code in LATER or code in AT_ONCE or code[:2] in {"08", "25", "40", "53", "57", "58", "XX"}


def is_worth_repeating(error: psycopg.Error) -> bool:
    """Say whether the same transaction may succeed in a moment."""
    return error.sqlstate in AT_ONCE


def explain(
    error: psycopg.Error, *, target_name: str, description: str, is_secret: bool = False, todo: str = ""
) -> TargetError:
    """Turn the server's answer into an error that a person reads.

    The server's primary message is repeated, except for statements that hold a verifier.
    """
    code = error.sqlstate
    if code == GUARD_SQLSTATE:
        return TargetUnavailable(
            f"“{target_name}” got the work too late, and undid it.",
            why="The worker was held up for longer than its time.",
            todo="It is tried again by itself.",
            sqlstate=code,
        )
    if code is None or code in LATER or code in AT_ONCE or code.startswith("08"):
        why = "The connection was lost." if code is None else _words(error, is_secret)
        again = f"It is tried again. {todo}".strip()
        return TargetUnavailable(f"“{target_name}” could not: {description}.", why=why, todo=again, sqlstate=code or "")
    fallback = SET_UP if code == "42501" else WHAT_TO_DO.get(code, "Ask a DBA of this server.")
    return TargetRefused(
        f"“{target_name}” refused to {description}.",
        why=_words(error, is_secret),
        todo=todo or fallback,
        sqlstate=code,
    )


def _words(error: psycopg.Error, is_secret: bool) -> str:
    """Return the server's own sentence with its code; without the sentence when it could repeat a secret."""
    message = "" if is_secret else (error.diag.message_primary or "").strip()
    return f"PostgreSQL answers {error.sqlstate}{': ' + message if message else ''}."
