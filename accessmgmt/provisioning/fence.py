"""Finds a grant's login role and closes its door, in a transaction of its own (postgres.md 12, E0 and E1)."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.names import RoleTag, parse_tag
from accessmgmt.domain.targets import GrantOrder
from accessmgmt.provisioning.execute import Repeat, Row, Session
from accessmgmt.provisioning.failures import is_lost, is_worth_repeating
from accessmgmt.provisioning.statements import (
    BEGIN,
    COMMIT,
    READ_LSN,
    READ_ROLE,
    fence_login,
    revoke_membership,
)

GONE = "42704"


@dataclass(frozen=True, slots=True)
class LoginRole:
    """A role that bears the grant's tag. `memberships` are pairs of granted role and grantor."""

    name: str
    oid: int
    memberships: tuple[tuple[str, str], ...]
    acting_as: str


def find_roles(session: Session, order: GrantOrder) -> list[LoginRole]:
    """Return the roles of the grant, looked for by name and by OID; none when they are gone.

    Raises TargetRefused when one of them does not bear exactly this grant's tag.
    """
    rows = session.ask(READ_ROLE, {"role": order.role_name, "oid": order.role_oid or 0})
    if rows[0]["in_recovery"]:
        raise TargetRefused(
            f"“{session.target_name}” is a standby: no role can be dropped there.",
            why="It only replays what its primary does.",
            todo="Link its primary in the resource.",
            sqlstate="25006",
        )
    wanted = RoleTag(order.installation_id, "grant", order.grant_id)
    found = [row for row in rows if row["oid"] is not None]
    for row in found:
        if parse_tag(row["tag"]) != wanted:
            raise TargetRefused(
                f"The role {row['name']} on “{session.target_name}” is not this grant's.",
                why="Its comment is not the one this portal writes.",
                todo="A DBA looks at who changed it, and drops it. The portal does not touch it.",
                sqlstate="42710",
            )
    return [_login_role(row) for row in found]


def _login_role(row: Row) -> LoginRole:
    pairs = (text.split("\n", 1) for text in row["memberships"])
    return LoginRole(row["name"], row["oid"], tuple((a, b) for a, b in pairs), row["acting_as"])


def fence(session: Session, role: LoginRole) -> str:
    """Let nobody log in any more and take the memberships away; return the log position behind it.

    Committed alone: before anything else the door is shut. Where a membership cannot be revoked (another role granted
    it), the door is shut all the same; dropping the role takes the membership along. Raises Repeat when the role has
    gone meanwhile.
    """
    revokes = [
        revoke_membership(granted, role.name, _grantor(session, role, grantor)) for granted, grantor in role.memberships
    ]
    try:
        results = session.send([BEGIN, fence_login(role.name), *revokes, COMMIT, READ_LSN])
    except psycopg.Error as error:
        if error.sqlstate == GONE:
            session.roll_back()
            raise Repeat from None
        if is_lost(error) or is_worth_repeating(error) or not revokes:
            raise
        session.roll_back()
        results = session.send([BEGIN, fence_login(role.name), COMMIT, READ_LSN])
    return str(results[-1][0]["lsn"])


def _grantor(session: Session, role: LoginRole, grantor: str) -> str | None:
    return grantor if session.server_version >= 16 and grantor != role.acting_as else None
