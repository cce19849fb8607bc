"""Finds the login roles of grants and closes their doors, in a transaction of its own (postgres.md 12, E0 and E1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.names import RoleTag, parse_tag
from accessmgmt.domain.targets import GrantOrder
from accessmgmt.provisioning.execute import Repeat, Row, Session
from accessmgmt.provisioning.failures import is_lost, is_worth_repeating
from accessmgmt.provisioning.statements import BEGIN, COMMIT, READ_LSN, Statement, fence_login, revoke_membership
from accessmgmt.provisioning.statements_end import READ_ROLES

GONE = "42704"


@dataclass(frozen=True, slots=True)
class LoginRole:
    """A role that bears a grant's tag. `memberships` are pairs of granted role and grantor."""

    name: str
    oid: int
    memberships: tuple[tuple[str, str], ...]
    acting_as: str


@dataclass(slots=True)
class Fenced:
    """What came of closing the doors: the log position behind it, and why some of them (by OID) are still open."""

    lsn: str = ""
    failures: dict[int, TargetError] = field(default_factory=dict)


def find_roles(session: Session, orders: Sequence[GrantOrder]) -> list[list[LoginRole] | TargetRefused]:
    """Return the roles of each grant, looked for by name and by OID; none when they are gone.

    A grant whose role does not bear exactly its tag gets a refusal. Raises TargetRefused on a standby.
    """
    values = {"names": [o.role_name for o in orders], "oids": [o.role_oid for o in orders if o.role_oid]}
    rows = session.ask(READ_ROLES, values)
    if rows[0]["in_recovery"]:
        raise TargetRefused(
            f"“{session.target_name}” is a standby: no role can be dropped there.",
            why="It only replays what its primary does.",
            todo="Link its primary in the resource.",
            sqlstate="25006",
        )
    by_name = {row["name"]: row for row in rows if row["oid"] is not None}
    by_oid = {row["oid"]: row for row in by_name.values()}
    found = []
    for order in orders:
        mine = {row["oid"]: row for row in (by_name.get(order.role_name), by_oid.get(order.role_oid)) if row}
        found.append(_checked(session, order, list(mine.values())))
    return found


def _checked(session: Session, order: GrantOrder, rows: list[Row]) -> list[LoginRole] | TargetRefused:
    wanted = RoleTag(order.installation_id, "grant", order.grant_id)
    for row in rows:
        if parse_tag(row["tag"]) != wanted:
            return TargetRefused(
                f"The role {row['name']} on “{session.target_name}” is not this grant's.",
                why="Its comment is not the one this portal writes.",
                todo="A DBA looks at who changed it, and drops it. The portal does not touch it.",
                sqlstate="42710",
            )
    return [_login_role(row) for row in rows]


def _login_role(row: Row) -> LoginRole:
    pairs = (text.split("\n", 1) for text in row["memberships"])
    return LoginRole(row["name"], row["oid"], tuple((a, b) for a, b in pairs), row["acting_as"])


def fence(session: Session, roles: Sequence[LoginRole]) -> Fenced:
    """Let nobody log in any more and take the memberships away, all in one transaction.

    Committed alone: before anything else the doors are shut. When the server refuses one of them, each half is tried
    by itself, so that one role never keeps the others' doors open. Raises Repeat when a role has gone meanwhile.
    """
    fenced = Fenced()
    # In one order everywhere: on 16 and later each REVOKE locks the granted role until the commit.
    _fence(session, sorted(roles, key=lambda role: (role.memberships, role.name)), fenced)
    return fenced


def _fence(session: Session, roles: Sequence[LoginRole], fenced: Fenced) -> None:
    if not roles:
        return
    try:
        fenced.lsn = session.repeat(partial(_close_doors, session, roles))
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        if len(roles) == 1:
            fenced.failures[roles[0].oid] = session.explained(error)
            return
        half = len(roles) // 2
        _fence(session, roles[:half], fenced)
        _fence(session, roles[half:], fenced)


def _close_doors(session: Session, roles: Sequence[LoginRole]) -> str:
    doors = [fence_login(role.name) for role in roles]
    revokes = [statement for role in roles for statement in _revokes(session, role)]
    try:
        results = session.send([BEGIN, *doors, *revokes, COMMIT, READ_LSN])
    except psycopg.Error as error:
        if error.sqlstate == GONE:
            session.roll_back()
            raise Repeat from None
        if len(roles) > 1 or is_lost(error) or is_worth_repeating(error) or not revokes:
            raise
        # Where a membership cannot be revoked, the door is shut all the same; DROP ROLE takes the membership along.
        session.roll_back()
        results = session.send([BEGIN, *doors, COMMIT, READ_LSN])
    return str(results[-1][0]["lsn"])


def _revokes(session: Session, role: LoginRole) -> list[Statement]:
    return [
        revoke_membership(granted, role.name, _grantor(session, role, grantor)) for granted, grantor in role.memberships
    ]


def _grantor(session: Session, role: LoginRole, grantor: str) -> str | None:
    return grantor if session.server_version >= 16 and grantor != role.acting_as else None
