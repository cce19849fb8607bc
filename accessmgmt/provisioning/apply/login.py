"""Makes the login role, or sets it right again: one transaction, one message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.connect.scram import ScramKeys, derive_keys
from accessmgmt.provisioning.privileges.read import Facts, Scope
from accessmgmt.provisioning.session.conversation import Repeat, Row, Session
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, Statement
from accessmgmt.provisioning.statements.reading import LOGIN
from accessmgmt.provisioning.statements.roles import (
    LOGIN_CONNECTION_LIMIT,
    comment_on_role,
    grant_membership,
    write_login,
)

CHANGED = frozenset({"42710", "23505", "42704"})


@dataclass(frozen=True, slots=True)
class Login:
    """The login role after its transaction. `keys` prove the password that it was given."""

    oid: int
    valid_until: datetime
    keys: ScramKeys


def ensure_login(
    session: Session, order: GrantOrder, scope: Scope, facts: Facts, *, connection_limit: int | None = None
) -> Login:
    """Create or mend the login role, which may have `connection_limit` sessions at a time (None: the usual 20).

    Raises Repeat when the roles have changed since they were looked for.
    """
    _check_ours(session, order, facts)
    exists = facts.login_oid is not None
    # The role's own end counts on a re-run: trying again must not lengthen the time.
    valid_until = facts.login_valid_until or facts.server_now + timedelta(seconds=order.ttl_seconds)
    limit, keys = connection_limit or LOGIN_CONNECTION_LIMIT, derive_keys(order.password)
    write = write_login(
        order.login.role_name, exists=exists, verifier=keys.verifier, valid_until=valid_until, connection_limit=limit
    )
    statements = [write, *_statements(session, order, scope, exists=exists)]
    latest = facts.server_now + timedelta(seconds=_seconds_left_after(session, facts))
    session.prepare([LOGIN])
    read_login = LOGIN.execute({"role": order.login.role_name, "latest": latest.isoformat()})
    try:
        results = session.send([BEGIN, *statements, read_login, COMMIT])
    except psycopg.Error as error:
        if error.sqlstate in CHANGED:
            session.roll_back()
            raise Repeat from None
        raise
    row = results[-2][0]
    _check_exact(session, order, scope, row)
    return Login(row["oid"], valid_until, keys)


def _check_exact(session: Session, order: GrantOrder, scope: Scope, row: Row) -> None:
    if row["memberships"] != [scope.capability] or row["is_elevated"]:
        raise _has_more(session, order)


def _seconds_left_after(session: Session, facts: Facts) -> float:
    """Return the budget that was left when the reply with the server's clock had come.

    server_now is earlier than that moment, so the server's limit is never later than ours, whatever the clocks say.
    """
    return session.budget.remaining_seconds_at(facts.read_at)


def _statements(session: Session, order: GrantOrder, scope: Scope, *, exists: bool) -> list[Statement]:
    return [
        *([] if exists else [comment_on_role(order.login.role_name, order.login.tag)]),
        # Locks the capability role by its name until the commit: GRANT alone would make somebody a member of a role
        # that is being dropped beside it, on every version.
        comment_on_role(scope.capability, scope.tag),
        grant_membership(scope.capability, order.login.role_name, session.server_version),
    ]


def _check_ours(session: Session, order: GrantOrder, facts: Facts) -> None:
    if facts.login_oid is None:
        return
    if facts.login_tag != order.login.tag:
        raise TargetRefused(
            f"A role {order.login.role_name} on “{session.target_name}” exists, and is not this grant's.",
            why="Its comment is not the one this portal writes.",
            todo="A DBA looks at who made it. The portal does not touch it.",
            sqlstate="42710",
        )
    if facts.login_is_fenced or (facts.login_valid_until and facts.login_valid_until <= facts.server_now):
        raise TargetRefused(
            f"The time of {order.login.role_name} on “{session.target_name}” is over already.",
            why="It was ended, or expired, before it could be verified.",
            todo="Ask for access again.",
        )
    others = [oid for oid in facts.login_memberships if oid != facts.capability_oid]
    if others or facts.login_is_elevated:
        raise _has_more(session, order)


def _has_more(session: Session, order: GrantOrder) -> TargetRefused:
    return TargetRefused(
        f"The role {order.login.role_name} on “{session.target_name}” has more than the portal gave it.",
        why="Somebody made it a member of another role, or gave it attributes.",
        todo="The portal ends it; ask for access again.",
    )
