"""Closes the doors of login roles, in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import CutSession, Target
from accessmgmt.provisioning.end.stuck_door import explain_stuck_door, tell_what_is_behind
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.conversation import MOST_ATTEMPTS, Repeat, Session
from accessmgmt.provisioning.session.explain import is_lost, is_worth_repeating
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, COMMIT_WITHOUT_WAITING, Statement
from accessmgmt.provisioning.statements.ending import SHORT_LOCK_TIMEOUT, cut_statements, revoke_memberships
from accessmgmt.provisioning.statements.reading import READ_LSN
from accessmgmt.provisioning.statements.roles import fence_login

GONE, MAY_NOT = "42704", "42501"


@dataclass(slots=True)
class Fenced:
    """What came of closing the doors: the log position behind it, and why some of them (by OID) are still open.

    `sessions` are those that had to be cut before the doors could be closed.
    """

    lsn: str = ""
    failures: dict[int, TargetError] = field(default_factory=dict)
    sessions: dict[int, list[CutSession]] = field(default_factory=dict)


def fence(
    session: Session,
    target: Target,
    roles: Sequence[FoundRole],
    *,
    waits_for_disk: bool,
    strangers: Sequence[FoundRole] = (),
) -> Fenced:
    """Take the memberships away, then let nobody log in any more; each is committed by itself.

    Both are seen by everybody at once, and reach the disk with the commit that drops the role, at the latest: a server
    that crashes before has no sessions left, and the ending begins anew. `waits_for_disk` has them there before this
    returns: a standby replays nothing earlier.

    Both can be held up. A person's open ALTER ROLE CURRENT_USER PASSWORD locks the role's row: such a session is cut,
    and the door closed in the same message. A DBA's open GRANT of the capability role keeps the memberships: then the
    doors are closed first, sessions end, and DROP ROLE takes the memberships along. When the server refuses one role,
    each half is tried by itself, so that one never keeps the others' doors open; and memberships in one role by
    themselves, so that one which only others may take never keeps the capability role's. Raises Repeat when a role has
    gone meanwhile.

    `strangers` are roles that stand in a login's place: they lose what they are given here, and nothing else.
    """
    fenced = Fenced()
    begin = [BEGIN] if waits_for_disk else [BEGIN, COMMIT_WITHOUT_WAITING]
    _revoke_each(session, begin, strangers)
    # In one order everywhere: on 16 and later each REVOKE locks the granted role until the commit.
    ordered = sorted(roles, key=lambda role: (role.memberships, role.name))
    if not ordered or _do_both(session, begin, fenced, ordered):
        return fenced

    def tell(role: FoundRole, error: psycopg.Error) -> None:
        if error.sqlstate == GONE:
            raise Repeat from None
        fenced.failures[role.oid] = explain_stuck_door(session, target, role.name, error)

    _by_halves(session, ordered, partial(_close_doors, session, begin, fenced), tell)
    _revoke_each(session, begin, ordered)
    tell_what_is_behind(session, ordered, fenced.failures)
    return fenced


def _revoke_each(session: Session, begin: list[Statement], roles: Sequence[FoundRole]) -> None:
    """Take memberships away, those in one role by themselves.

    DROP ROLE takes along what cannot be revoked, such as a membership in a role that is gone (possible up to 15).
    """
    members: dict[tuple[str, str], list[FoundRole]] = {}
    for role in roles:
        for membership in role.memberships:
            members.setdefault(membership, []).append(replace(role, memberships=(membership,)))
    for same in members.values():
        _by_halves(session, same, partial(_revoke, session, begin), lambda _role, _error: None)


def _do_both(session: Session, begin: list[Statement], fenced: Fenced, roles: Sequence[FoundRole]) -> bool:
    """Send both transactions as one message; False when the server refused one of them."""
    try:
        results = session.send([*_taken(session, begin, roles), *_doors(begin, roles)])
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        return False
    fenced.lsn = str(results[-1][0]["lsn"])
    return True


def _by_halves(
    session: Session,
    roles: Sequence[FoundRole],
    work: Callable[[Sequence[FoundRole]], None],
    tell: Callable[[FoundRole, psycopg.Error], None],
) -> None:
    """Do it for all, or for each half that the server takes; `tell` gets each role for which it was refused."""
    if not roles:
        return
    try:
        work(roles)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        if len(roles) == 1:
            tell(roles[0], error)
            return
        half = len(roles) // 2
        _by_halves(session, roles[:half], work, tell)
        _by_halves(session, roles[half:], work, tell)


def _revoke(session: Session, begin: list[Statement], roles: Sequence[FoundRole]) -> None:
    try:
        if taken := _taken(session, begin, roles):
            session.send(taken)
    except psycopg.errors.LockNotAvailable:
        session.roll_back()  # somebody holds the capability role, for any time: no session is kept waiting for that


def _close_doors(session: Session, begin: list[Statement], fenced: Fenced, roles: Sequence[FoundRole]) -> None:
    oids, names, as_member = [role.oid for role in roles], [role.name for role in roles], False
    for attempt in range(1, MOST_ATTEMPTS + 1):
        # From the second attempt on: cut whoever holds the row, and be next in line for it before anybody is back.
        cut = cut_statements(oids, names if as_member else [], session.server_version) if attempt > 1 else []
        try:
            results = session.send([*cut, *_doors(begin, roles)])
        except psycopg.Error as error:
            is_over = is_lost(error) or error.sqlstate == GONE or attempt == MOST_ATTEMPTS
            may_not_cut = bool(cut) and error.sqlstate == MAY_NOT and not as_member
            if is_over or not (is_worth_repeating(error) or may_not_cut):
                raise
            as_member = as_member or may_not_cut
            session.roll_back()
            continue
        for row in [row for result in results[: len(cut)] for row in result]:
            found = CutSession("primary", row["pid"], row["application_name"], row["started_at"])
            fenced.sessions.setdefault(row["oid"], []).append(found)
        fenced.lsn = str(results[-1][0]["lsn"])
        return


def _doors(begin: list[Statement], roles: Sequence[FoundRole]) -> list[Statement]:
    """Return the transaction that lets nobody log in any more, and what reads the log position behind it."""
    return [*begin, SHORT_LOCK_TIMEOUT, *(fence_login(role.name) for role in roles), COMMIT, READ_LSN]


def _taken(session: Session, begin: list[Statement], roles: Sequence[FoundRole]) -> list[Statement]:
    """Return the transaction that takes all memberships away; nothing when there are none."""
    revokes = _revokes(session, roles)
    return [*begin, SHORT_LOCK_TIMEOUT, *revokes, COMMIT] if revokes else []


def _revokes(session: Session, roles: Sequence[FoundRole]) -> list[Statement]:
    members: dict[tuple[str, str | None], list[str]] = {}
    for role in roles:
        for granted, grantor in role.memberships:
            members.setdefault((granted, _grantor(session, role, grantor)), []).append(role.name)
    return [revoke_memberships(granted, names, grantor) for (granted, grantor), names in members.items()]


def _grantor(session: Session, role: FoundRole, grantor: str) -> str | None:
    return grantor if session.server_version >= 16 and grantor != role.acting_as else None
