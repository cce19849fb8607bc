"""Looks for what ended grants have left on servers that could not be asked when they ended.

An ending does not wait for ever for another host of a list, or for an old primary: it may be gone for good. When such a
server is back it may still have sessions of the login; and one that took changes meanwhile, the login itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.orders import EndOrder, LoginRef
from accessmgmt.domain.targets import EndReceipt, Target
from accessmgmt.provisioning.connect.admin import admin_connection, admin_session
from accessmgmt.provisioning.connect.hosts import is_standby
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.end.grants import end_grants
from accessmgmt.provisioning.end.sessions import end_sessions
from accessmgmt.provisioning.session.conversation import Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.servers import READ_TAGS

BUDGET_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Left:
    """What one ended grant had left on a server. `is_proved`: neither its login nor a session is there any more."""

    grant_id: str
    session_count: int
    was_role_there: bool
    is_proved: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking at one server. `error` says why it could not be asked; then `left` is empty."""

    host: str
    left: tuple[Left, ...] = ()
    error: str = ""


def find_servers_beside(target: Target) -> list[Target]:
    """Return every server of the target's cluster that is known, besides the one on which roles are made.

    Raises TargetError when that one cannot be found or reached.
    """
    servers = find_servers(target, for_ending=True)
    with admin_connection(servers.writable) as conn:
        used = conn.info.host
    return servers.beside(used)


def end_what_is_left(server: Target, logins: Sequence[LoginRef]) -> Look:
    """End the sessions of ended grants on one server, and their logins where it takes changes.

    Only grants of the server's own cluster are looked for, and no role is touched that has neither the grant's tag nor
    its name: after a failover two servers may have given one OID to different roles.
    """
    try:
        with admin_session(server, Budget(BUDGET_SECONDS)) as session:
            return Look(server.host, tuple(_end(session, server, logins)))
    except TargetError as error:
        return Look(server.host, error=str(error))


def _end(session: Session, server: Target, logins: Sequence[LoginRef]) -> list[Left]:
    mine, still_there = _look(session, logins)
    # A standby drops the role itself as soon as it replays that; until then a session may come back.
    ended = {} if is_standby(session.conn) else _end_logins(server, still_there)
    cut = end_sessions(session, list(mine), server=server.name)
    return [
        Left(
            grant_id=login.grant_id,
            session_count=len(cut.sessions.get(oid, [])) + (len(ended[oid].sessions) if oid in ended else 0),
            was_role_there=oid in still_there,
            is_proved=oid not in cut.failures and (oid not in still_there or oid in ended),
        )
        for oid, login in mine.items()
    ]


def _look(session: Session, logins: Sequence[LoginRef]) -> tuple[dict[int, LoginRef], dict[int, LoginRef]]:
    """Return by OID the logins that may have left something here, and those of them whose role is there."""
    cluster = session.cluster
    theirs = [login for login in logins if not cluster or login.system_identifier == cluster]
    mine = {login.role_oid: login for login in theirs if login.role_oid}
    found = {row["oid"]: row for row in session.ask(READ_TAGS, {"oids": list(mine)})}
    if not cluster:
        mine = {oid: login for oid, login in mine.items() if oid in found}  # nothing else says whose an OID is
    for oid, row in found.items():
        if row["tag"] != mine[oid].tag and row["name"] != mine[oid].role_name:
            del mine[oid]  # another role has this OID
    return mine, {oid: login for oid, login in mine.items() if oid in found}


def _end_logins(server: Target, logins: dict[int, LoginRef]) -> dict[int, EndReceipt]:
    """End logins as any ending does; return the receipts of those that are proved to be gone."""
    outcomes = end_grants(server, [EndOrder(login) for login in logins.values()]) if logins else []
    return {oid: outcome for oid, outcome in zip(logins, outcomes, strict=True) if isinstance(outcome, EndReceipt)}
