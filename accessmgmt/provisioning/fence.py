"""Finds the login roles of grants and closes their doors, in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import CutSession, GrantOrder, Target
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.execute import MOST_ATTEMPTS, Repeat, Row, Session
from accessmgmt.provisioning.failures import is_lost, is_worth_repeating
from accessmgmt.provisioning.statements import BEGIN, COMMIT, COMMIT_WITHOUT_WAITING, READ_LSN, Statement, fence_login
from accessmgmt.provisioning.statements_end import ROLES, SHORT_LOCK_TIMEOUT, cut_statements, revoke_memberships
from accessmgmt.provisioning.stuck_door import explain_stuck_door

GONE, MAY_NOT = "42704", "42501"


@dataclass(frozen=True, slots=True)
class FoundRole:
    """A role that is a grant's login. `memberships` are pairs of granted role and grantor.

    `members` are pairs of a role that was made a member of the login, and the grantor; `passed_on` are memberships that
    the login itself gave, pairs of granted role and member. `capability` is the role of its permission set;
    `triggers_before` are triggers that its tables had when it was made, None where the set does not let it make any.
    """

    name: str
    oid: int
    memberships: tuple[tuple[str, str], ...]
    acting_as: str
    members: tuple[tuple[str, str], ...] = ()
    passed_on: tuple[tuple[str, str], ...] = ()
    capability: str = ""
    triggers_before: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """What there is of one grant on a server: its login (by rights one role), or nothing.

    `oids` are those under which it may have sessions. `refusal` says that another role stands in its place, so that
    the ending cannot be proved; all the same its login is ended. `stranger` is that role where it is a member of the
    grant's capability role. `notes` are for the receipt.
    """

    roles: tuple[FoundRole, ...]
    oids: tuple[int, ...]
    notes: tuple[str, ...] = ()
    refusal: TargetRefused | None = None
    stranger: FoundRole | None = None


@dataclass(slots=True)
class Fenced:
    """What came of closing the doors: the log position behind it, and why some of them (by OID) are still open.

    `sessions` are those that had to be cut before the doors could be closed.
    """

    lsn: str = ""
    failures: dict[int, TargetError] = field(default_factory=dict)
    sessions: dict[int, list[CutSession]] = field(default_factory=dict)


def find_roles(session: Session, orders: Sequence[GrantOrder]) -> list[FoundLogin]:
    """Return what there is of each grant, looked for by name and by OID. Raises TargetRefused on a standby.

    A role that bears the grant's tag is its login. So is one with the name and the OID that were stored when it was
    made on this very cluster, and one with that OID that is a member of the grant's capability role, whatever somebody
    has made of its comment. Nothing else is.
    """
    values = {
        "names": [o.role_name for o in orders],
        "oids": [o.role_oid for o in orders if o.role_oid],
    }
    rows = session.ask_one(ROLES, values)
    if rows[0]["in_recovery"]:
        raise TargetRefused(
            f"“{session.target_name}” is a standby: no role can be dropped there.",
            why="It only replays what its primary does.",
            todo="Link its primary in the resource.",
            sqlstate="25006",
        )
    by_name = {row["name"]: row for row in rows if row["oid"] is not None}
    by_oid = {row["oid"]: row for row in by_name.values()}
    return [_judge(session, order, by_oid.get(order.role_oid), by_name.get(order.role_name)) for order in orders]


def _judge(session: Session, order: GrantOrder, known: Row | None, named: Row | None) -> FoundLogin:
    """Tell the login from other roles: `known` has the stored OID, `named` the login's name. They may be one."""
    is_its_cluster = not session.cluster or order.system_identifier in {"", session.cluster}
    is_oid_its_own = is_its_cluster
    if known is not None and _is_another_grants(order, known):
        known, is_oid_its_own = None, False  # a server that took over has given the OID again
    if not is_its_cluster and not any(row and row["tag"] == order.login_tag for row in (known, named)):
        refusal = _not_ours(session, order, named) if named else _another_cluster(session)
        return FoundLogin((), (), refusal=refusal)
    ours: list[Row] = []
    notes: list[str] = []
    if known is not None and (known["tag"] == order.login_tag or (is_its_cluster and _is_the_login(order, known))):
        ours.append(known)
        notes = _changes(order, known)
    if named is not None and not ours and named["tag"] == order.login_tag:
        ours.append(named)  # made again with its comment, as a restored backup does
    foreign = next((row for row in (named, known) if row is not None and row not in ours), None)
    oids = [row["oid"] for row in ours]
    if order.role_oid and is_oid_its_own:
        oids.insert(0, order.role_oid)
    return FoundLogin(
        roles=tuple(_login_role(row) for row in ours),
        oids=tuple(dict.fromkeys(oids)),
        notes=tuple(notes),
        refusal=_not_ours(session, order, foreign) if foreign is not None else None,
        stranger=_as_member(order, foreign) if foreign is not None and _has_the_set(order, foreign) else None,
    )


def _is_the_login(order: GrantOrder, row: Row) -> bool:
    """Say whether a role with the stored OID is the login, though it bears no tag of it.

    Once it is fenced it is a member of nothing, and nobody else shuts roles like that.
    """
    return row["name"] == order.role_name or _has_the_set(order, row) or bool(row["is_fenced"])


def _has_the_set(order: GrantOrder, row: Row) -> bool:
    return any(text.split("\n", 1)[0] == order.capability for text in row["memberships"])


def _is_another_grants(order: GrantOrder, row: Row) -> bool:
    """Say whether the portal made this role for something else."""
    return row["tag"] != order.login_tag and order.installation.read_tag(row["tag"], row["name"]) is not None


def _changes(order: GrantOrder, row: Row) -> list[str]:
    notes = []
    if row["name"] != order.role_name:
        notes.append(f"Somebody had renamed the login: it was ended as {row['name']}.")
    if row["tag"] != order.login_tag:
        notes.append("Somebody had changed the comment on the login: it was known by its OID.")
    return notes


def _another_cluster(session: Session) -> TargetRefused:
    """A role that is missing on another server than the one it was made on proves nothing."""
    return TargetRefused(
        f"“{session.target_name}” is another PostgreSQL server than the one this login was made on.",
        why="Its system identifier differs, so that the login may still live elsewhere.",
        todo="Let the resource's name or address lead to the old server until its logins are gone.",
    )


def _not_ours(session: Session, order: GrantOrder, row: Row) -> TargetRefused:
    if row["name"] == order.role_name:
        is_copy = row["tag"] == order.login_tag
        why = f"It has the login's name, and {'another OID' if is_copy else 'not the comment that this portal wrote'}."
        mend = advice.make_room(row["name"])
    else:
        why = (
            "It has the login's OID, but neither its name nor the comment that this portal wrote, and it is no member"
            " of the capability role. Its sessions are ended."
        )
        mend = advice.rename_back(row["name"], order.role_name)
    return TargetRefused(
        f"The role {row['name']} on “{session.target_name}” is not this grant's.",
        why=why,
        todo=str(mend),
        sqlstate="42710",
    )


def _as_member(order: GrantOrder, row: Row) -> FoundRole:
    """Return a role that is not ours with the one membership that is."""
    role = _login_role(row)
    return replace(role, memberships=tuple(m for m in role.memberships if m[0] == order.capability))


def _login_role(row: Row) -> FoundRole:
    return FoundRole(
        name=row["name"],
        oid=row["oid"],
        memberships=_pairs(row["memberships"]),
        acting_as=row["acting_as"],
        members=_pairs(row["members"]),
        passed_on=_pairs(row["passed_on"]),
    )


def _pairs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, _, second in (text.partition("\n") for text in texts))


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
