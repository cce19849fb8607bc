"""A login that every connection test really makes: it logs in as it over the way that people take, and ends it.

What is rolled back never meets pg_hba.conf, a password policy or an event trigger on login. The roles bear the portal's
tag, and the login's time is over in minutes: what a crash leaves is ended by the next connection test or drift check.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.names import REHEARSAL_PREFIX, Installation, RoleTag, new_login_role_name
from accessmgmt.domain.orders import EndOrder, LoginRef
from accessmgmt.domain.targets import EndReceipt, Target
from accessmgmt.provisioning.apply.verify import login_session
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.connect.hosts import Servers
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.connect.replay import wait_for_replay
from accessmgmt.provisioning.connect.scram import derive_keys
from accessmgmt.provisioning.connect.secrets_manager import resolve_target
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_role
from accessmgmt.provisioning.privileges.plan import plan_frame
from accessmgmt.provisioning.privileges.read import Drift, Found, Scope
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.base import COMMIT, Statement
from accessmgmt.provisioning.statements.ending import READ_CLOCK
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY, hold
from accessmgmt.provisioning.statements.privileges import grant_tables
from accessmgmt.provisioning.statements.reading import READ_LSN
from accessmgmt.provisioning.statements.rehearsal import read_may_use, read_rehearsals
from accessmgmt.provisioning.statements.roles import (
    LOGIN_CONNECTION_LIMIT,
    comment_on_role,
    create_capability,
    grant_membership,
    write_login,
)

TTL_SECONDS = 180
BUDGET_SECONDS = 15.0
GONE = "42704"


@dataclass(frozen=True, slots=True)
class Given:
    """What the rehearsed login gets: one relation of a permission set; none where there is nothing to share."""

    scope: Scope
    relation: Drift | None
    frame: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A login that is made for a connection test, with a capability role of its own."""

    login: LoginRef
    password: str = field(repr=False)
    capability: str
    given: Given


def what_to_give(scope: Scope, found: Found, relation_name: str) -> Given:
    """Choose, of what a set lacks, the database, the schemas and one relation."""
    frame = tuple(d for d in found.drift if d.kind in {"database", "schema"} and d.can_grant and d.lacking)
    relation = next((d for d in found.drift if d.kind == "relation" and d.name == relation_name), None)
    return Given(scope, relation, frame)


def new_rehearsal(installation: Installation, given: Given) -> Rehearsal:
    """Choose the names of a rehearsal before any of its roles is there."""
    number = secrets.token_hex(6)
    login = LoginRef(installation, f"{REHEARSAL_PREFIX}{number}", new_login_role_name("rehearsal@"))
    return Rehearsal(login, secrets.token_urlsafe(24), f"jitb_rehearsal_{number}", given)


def make_login(session: Session, rehearsal: Rehearsal, *, connection_limit: int | None) -> None:
    """Make both roles in one transaction, by the statements of a real grant. Raises psycopg.Error or TargetRefused."""
    [row] = session.ask(READ_CLOCK)
    login, valid_until = rehearsal.login, row["now"] + timedelta(seconds=TTL_SECONDS)
    write = write_login(
        login.role_name,
        exists=False,
        verifier=derive_keys(rehearsal.password).verifier,
        valid_until=valid_until,
        connection_limit=connection_limit or LOGIN_CONNECTION_LIMIT,
    )
    session.repeat(
        lambda: session.send(
            [
                *BEGIN_BRIEFLY,
                *_make_capability(rehearsal),
                replace(write, is_secret=False),  # nobody else has this password, and it is over with the test
                comment_on_role(login.role_name, login.tag),
                grant_membership(rehearsal.capability, login.role_name, session.server_version),
                COMMIT,
            ]
        )
    )


def _make_capability(rehearsal: Rehearsal) -> list[Statement]:
    name, given = rehearsal.capability, rehearsal.given
    installation, grant_id = rehearsal.login.installation, rehearsal.login.grant_id
    _begin, *making, _commit = create_capability(name, installation.tag("set", grant_id, name))
    relation = given.relation
    if relation is None:
        on_relation = []
    else:
        on_relation = [
            *hold([(relation.name, relation.relkind)]),
            grant_tables(given.scope.wanted, [relation.name], name),
        ]
    return [*making, *plan_frame(given.frame, replace(given.scope, capability=name)), *on_relation]


def log_in_as(session: Session, servers: Servers, rehearsal: Rehearsal) -> str:
    """Log in as the login, on the host that people get, and use what it has; return what was seen, in words.

    On a standby it is waited for first. Raises TargetError with the server's own words.
    """
    if servers.standby is not None:
        lsn = str(session.ask(READ_LSN)[0]["lsn"])
        with admin_session(servers.standby, session.budget, server="standby") as standby:
            wait_for_replay(standby, lsn)
    with login_session(session, resolve_target(servers.named), rehearsal.login.role_name, rehearsal.password) as user:
        relation, wanted = rehearsal.given.relation, ", ".join(rehearsal.given.scope.wanted)
        seen = f"“{rehearsal.login.role_name}” logged in at {user.conn.info.host}"
        if relation is None:
            return f"{seen}."
        question = read_may_use(rehearsal.login.role_name, relation.oid, rehearsal.given.scope.wanted)
        if not user.ask(question)[0]["may"]:
            raise TargetRefused(
                f"{seen}, and cannot use {relation.name} as it was given.",
                why="The privileges were given, and PostgreSQL says that they do not take effect.",
                todo="A DBA looks at the privileges on the schema and on this table.",
                sqlstate="42501",
            )
        return f"{seen} and may {wanted} on {relation.name}."


def end_rehearsal(servers: Servers, rehearsal: Rehearsal) -> EndReceipt:
    """End the login as any other: fence, sessions, drop, proof; then drop its capability role. Raises TargetError."""
    receipt = end_grant(servers.named, EndOrder(rehearsal.login))
    writable = servers.writable
    budget = Budget(BUDGET_SECONDS)
    with admin_session(writable, budget, installation=rehearsal.login.installation) as session:
        for row, _ in _read(session):
            if row["name"] == rehearsal.capability:
                _drop_capability(session, writable, row)
    return receipt


def _read(session: Session) -> list[tuple[Row, RoleTag]]:
    """Return the roles of rehearsals that this installation made, each with its tag."""
    installation = session.installation
    if installation is None:
        raise AssertionError("a rehearsal's roles are known by their tag")
    rows = session.ask(read_rehearsals(installation))
    marked = [(row, installation.read_tag(row["tag"], row["name"])) for row in rows]
    return [(row, tag) for row, tag in marked if tag is not None and tag.is_rehearsal]


def _drop_capability(session: Session, target: Target, row: Row) -> None:
    """Drop a capability role of a rehearsal; somebody else may be at it."""
    try:
        retire_role(session, target, row, session.budget)
    except psycopg.Error as error:
        session.roll_back()
        if error.sqlstate != GONE:
            raise


def sweep_rehearsals(target: Target, installation: Installation) -> int:
    """End what crashes have left of rehearsals, as soon as their time is over; return how many logins that were.

    Tests that are going on are left alone; what cannot be ended now is tried again the next time. Raises TargetError.
    """
    writable = find_servers(target, for_ending=True).writable
    with admin_session(writable, Budget(BUDGET_SECONDS), installation=installation) as session:
        logins = [(row, tag) for row, tag in _read(session) if tag.kind == "grant" and row["is_over"]]
        for row, tag in logins:
            with suppress(TargetError):
                end_grant(target, EndOrder(LoginRef(installation, tag.ref, row["name"], row["oid"])))
        for row, tag in _read(session):
            if tag.kind == "set" and row["is_over"]:
                with suppress(TargetError, psycopg.Error):
                    _drop_capability(session, writable, row)
    return len(logins)
