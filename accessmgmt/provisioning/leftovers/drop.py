"""Drops fenced login roles: what they own is handed over, or listed for an admin, in every database.

A login usually owns nothing, and one DROP ROLE for many of them is all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import database_session
from accessmgmt.provisioning.leftovers.back_doors import remove_hooks
from accessmgmt.provisioning.leftovers.clear import clear_role
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.held_up import LOCKED, Blocker, HeldUp, insist
from accessmgmt.provisioning.leftovers.new_owner import ensure_owner, may_not_hand_over, named_owner
from accessmgmt.provisioning.leftovers.out_of_the_way import (
    find_in_the_way,
    find_made_databases,
    tell_closed,
    tell_moved,
)
from accessmgmt.provisioning.leftovers.passed_on import gifts_in
from accessmgmt.provisioning.session.conversation import Interrupted, Row, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.advice import Advice
from accessmgmt.provisioning.statements.base import COMMIT, Statement
from accessmgmt.provisioning.statements.chains import disarm_owned, move_away, read_entries
from accessmgmt.provisioning.statements.ending import (
    DEPENDENCIES,
    PREPARED_TRANSACTIONS,
    drop_roles,
    guard_owns_nothing,
    read_owned,
    reassign_owned,
)
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY

KEEP = "keep"
DROP_ATTEMPTS = 3
MOST_LISTED = 20
DEPENDED_ON, REFUSED = "2BP01", "42501"


@dataclass(slots=True)
class Emptied:
    """What came of emptying a role: databases in which something was handed over, and shared objects that were.

    `notes` say who else lost something by it.
    """

    reassigned: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Dropped:
    """What was left of roles that are gone, and why others are still there, by the role's OID.

    `notes`, by the role's name, are what a DBA should know: prepared transactions outlive the role, and keep its locks.
    """

    emptied: dict[int, Emptied] = field(default_factory=dict)
    failures: dict[int, TargetError] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


def drop_logins(session: Session, target: Target, roles: Sequence[FoundRole], budget: Budget) -> Dropped:
    """Drop roles: those that left nothing in one statement, the others one by one."""
    dropped = Dropped()
    if not roles:
        return dropped
    names, oids = [role.name for role in roles], [role.oid for role in roles]
    sets = {role.capability for role in roles if role.capability}
    dependencies, transactions = session.ask_prepared(
        [(DEPENDENCIES, {"oids": oids}), (PREPARED_TRANSACTIONS, {"names": [*names, *sets]})]
    )
    for row in transactions:  # noted now: their owner has no name once it is dropped
        _note_prepared(dropped, roles, row)
    left = {row["oid"] for row in dependencies}
    plain = [
        role
        for role in roles
        if role.oid not in left and role.name not in dropped.notes and role.triggers_before is None
    ]
    if plain and not _drop_together(session, plain):
        plain = []
    gone = {role.oid for role in plain}
    for role in roles:
        if role.oid not in gone:
            _drop_alone(session, target, role, budget, dropped)
    return dropped


def _note_prepared(dropped: Dropped, roles: Sequence[FoundRole], row: Row) -> None:
    what = f"The transaction {row['gid']!r} in {row['database']}"
    for role in roles:
        if row["role"] == role.name:
            words = f"{what}, prepared by the login, outlives it. {_finish(row)}"
        elif row["role"] == role.capability:
            words = (
                f"{what} was prepared in the name of {role.capability}, by somebody who had stepped into it, and keeps"
                f" its locks. If it is nobody's who has the permission set still: {_finish(row)}"
            )
        else:
            continue
        dropped.notes.setdefault(role.name, []).append(words)


def _drop_together(session: Session, roles: Sequence[FoundRole]) -> bool:
    try:
        session.send([drop_roles([role.name for role in roles])])
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        return False
    return True


def _drop_alone(session: Session, target: Target, role: FoundRole, budget: Budget, dropped: Dropped) -> None:
    emptied = dropped.emptied.setdefault(role.oid, Emptied())
    try:
        _drop_login(session, target, role, budget, emptied)
    except Interrupted:
        raise
    except TargetError as error:
        session.roll_back()
        dropped.failures[role.oid] = error
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        dropped.failures[role.oid] = session.explained(error)


def _drop_login(session: Session, target: Target, role: FoundRole, budget: Budget, emptied: Emptied) -> None:
    """Clean up behind one role and drop it; again when somebody made a dependency meanwhile."""
    drop = partial(session.send, [*BEGIN_BRIEFLY, drop_roles([role.name]), COMMIT])
    for attempt in range(1, DROP_ATTEMPTS + 1):
        empty_role(session, target, role, budget, emptied)
        try:
            emptied.notes += map(_cut_in_words, insist(session, target, drop, role.name))
        except HeldUp:
            if prepared := _prepared(session, [role.name]):
                raise _held_by_prepared(session, role, prepared) from None
            raise
        except psycopg.Error as error:
            session.roll_back()
            if error.sqlstate != DEPENDED_ON or attempt == DROP_ATTEMPTS:
                todo = _what_is_left(session, target, role, budget) if error.sqlstate == DEPENDED_ON else ""
                raise session.explained(error, todo=todo) from None
        else:
            break


def empty_role(
    session: Session,
    target: Target,
    role: FoundRole,
    budget: Budget,
    emptied: Emptied,
    *,
    beginning: Sequence[Statement] = BEGIN_BRIEFLY,
) -> None:
    """Hand over what a role owns and take away what it holds, everywhere; add what came of it to `emptied`.

    Every transaction starts with `beginning`. Where one database refuses, the others are done all the same. Raises
    TargetRefused when the resource's setting leaves something to an admin.
    """
    rows = session.ask_one(DEPENDENCIES, {"oids": [role.oid]})
    if target.leftovers == KEEP:
        _refuse_what_it_owns(session, target, role, rows, budget)
    here = session.conn.info.dbname
    owns: dict[str, bool] = {}
    for row in rows:  # shared objects ("") are handed over from the database at hand
        owns[row["database"] or here] = owns.get(row["database"] or here, False) or row["owns"]
    if role.triggers_before is not None:
        owns.setdefault(here, False)
    failures: list[TargetError] = []
    for database, owns_there in owns.items():
        try:
            with session_in(session, target, database, budget) as place:
                shared = _shared(place, role) if owns_there and database == here else []
                _empty_here(place, target, role, beginning, emptied, owns=owns_there)
        except Interrupted:
            raise
        except TargetError as error:
            failures.append(error)
            continue
        if target.leftovers != KEEP:
            emptied.reassigned += shared
            emptied.reassigned += [database for row in rows if row["owns"] and row["database"] == database]
    emptied.reassigned = list(dict.fromkeys(emptied.reassigned))
    if failures:
        raise failures[0]


@contextmanager
def session_in(session: Session, target: Target, database: str, budget: Budget) -> Iterator[Session]:
    """Lend a session in a database: the one at hand where it is connected there."""
    if database == session.conn.info.dbname:
        yield session
        return
    with database_session(target, database, budget) as other:
        other.installation = session.installation
        yield other


def _shared(session: Session, role: FoundRole) -> list[str]:
    """Return shared objects that the role owns: a database, a tablespace."""
    return [f"{row['type']} {row['name']}" for row in session.send([read_owned(role.oid)])[0] if not row["is_local"]]


def _empty_here(
    session: Session,
    target: Target,
    role: FoundRole,
    beginning: Sequence[Statement],
    emptied: Emptied,
    *,
    owns: bool,
) -> None:
    # First: nobody finds it any more when its routines belong to another.
    emptied.notes += remove_hooks(session, target, role)
    owner = ensure_owner(session, target) if owns and target.leftovers != KEEP else None
    first = (
        [guard_owns_nothing(role.oid)]
        if owner is None
        else [disarm_owned(role.oid), move_away(role.oid), reassign_owned(role.name, owner.name)]
    )
    in_the_way = find_in_the_way(session, role) if owner else []
    made = find_made_databases(session, role) if owner else []
    try:
        cleared = clear_role(session, target, role, beginning, first)
    except psycopg.Error as error:
        session.roll_back()
        if error.sqlstate != REFUSED:
            raise
        raise may_not_hand_over(session, role, owner.name if owner else named_owner(target), error) from None
    place = session.conn.info.dbname
    emptied.notes += owner.notes if owner else ()
    emptied.notes += tell_moved(session, in_the_way) + tell_closed(made)
    emptied.notes += [f"{place}: {item.in_words()}, which {item.grantor} had passed on." for item in cleared.passed_on]
    emptied.notes += map(_cut_in_words, cleared.cut)


def _cut_in_words(blocker: Blocker) -> str:
    return f"It kept this ending waiting, and was ended: {blocker.in_words()}."


def _refuse_what_it_owns(session: Session, target: Target, role: FoundRole, rows: list[Row], budget: Budget) -> None:
    """List what the role owns and leave it to an admin, as the resource's setting says."""
    found: list[str] = []
    for row in rows:
        if not row["owns"]:
            continue
        if not row["database"] or row["database"] == session.conn.info.dbname:
            owned = session.send([read_owned(role.oid)])[0]
            found += [_listed(session.conn.info.dbname, item) for item in owned]
        else:
            with database_session(target, row["database"], budget) as other:
                found += [
                    _listed(row["database"], item) for item in other.send([read_owned(role.oid)])[0] if item["is_local"]
                ]
    found = list(dict.fromkeys(found))
    if found:
        more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
        raise TargetRefused(
            f"{role.name} owns {len(found)} object{'s' if len(found) > 1 else ''} on “{target.name}”.",
            why="; ".join(found[:MOST_LISTED]) + more + ".",
            todo="It has no member any more. An admin hands these to another owner or drops them, or changes the"
            " resource's setting for leftovers; the rest then follows by itself.",
            sqlstate=DEPENDED_ON,
        )


def _listed(database: str, item: Row) -> str:
    place = f"{database}: " if item["is_local"] else ""
    return f"{place}{item['type']} {item['name']}"


def _prepared(session: Session, names: Sequence[str]) -> list[Row]:
    return session.ask_one(PREPARED_TRANSACTIONS, {"names": list(names)})


def _finish(row: Row) -> str:
    return str(advice.finish_prepared(row["database"], row["gid"]))


def _held_by_prepared(session: Session, role: FoundRole, prepared: list[Row]) -> TargetRefused:
    return TargetRefused(
        f"{role.name} on “{session.target_name}” cannot be dropped: a transaction that it prepared holds on to it.",
        why="; ".join(f"{row['gid']!r} in {row['database']}" for row in prepared) + ".",
        todo=" ".join(_finish(row) for row in prepared) + " The ending then finishes by itself.",
        sqlstate=LOCKED,
    )


def _what_is_left(session: Session, target: Target, role: FoundRole, budget: Budget) -> str:
    """Say what is to be done, in which database: about what the role owns, and what others than we can act as gave."""
    rows = session.ask_one(DEPENDENCIES, {"oids": [role.oid]})
    here = session.conn.info.dbname
    todo: list[Advice] = []
    is_temporary = False
    for database in dict.fromkeys(row["database"] or here for row in rows):
        with session_in(session, target, database, budget) as place:
            entries = place.send([read_entries([role.oid], place.server_version)])[0]
        others = [
            row for row in entries if role.oid in {row["grantee_oid"], row["grantor_oid"]} and row["owner"] != role.oid
        ]
        # Nobody but a superuser gets at another session's temporary schema, its owner's role least of all.
        is_temporary = is_temporary or any(row["is_temporary"] for row in others)
        gifts = gifts_in(row for row in others if not row["is_temporary"])
        if gifts:
            todo.append(advice.take_back_by_hand([gift.gift for gift in gifts], database))
    if not todo or is_temporary or any(row["owns"] for row in rows):
        todo.append(advice.clear_by_hand(role.name, named_owner(target), [row["database"] for row in rows]))
    return advice.in_words(todo)
