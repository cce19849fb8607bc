"""Drops fenced login roles: what they own is handed over, or listed for an admin, in every database (postgres.md 5.5).

A login usually owns nothing, and one DROP ROLE for many of them is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.connect import database_session
from accessmgmt.provisioning.execute import Interrupted, Row, Session
from accessmgmt.provisioning.failures import is_lost
from accessmgmt.provisioning.fence import LoginRole
from accessmgmt.provisioning.plan import CHUNK_SIZE, hold
from accessmgmt.provisioning.statements import BEGIN, COMMIT, QUARANTINE_ROLE, Statement, revoke_on, revoke_tables
from accessmgmt.provisioning.statements_drift import read_held
from accessmgmt.provisioning.statements_end import (
    READ_DEPENDENCIES,
    READ_FOREIGN,
    READ_OWNED_SCHEMAS,
    READ_PREPARED,
    create_quarantine,
    disarm_owned,
    drop_owned,
    drop_roles,
    guard_owns_nothing,
    has_role,
    read_owned,
    reassign_owned,
    revoke_as,
    step_into,
)
from accessmgmt.provisioning.statements_locks import BEGIN_BRIEFLY, lock_schemas

KEEP = "keep"
DROP_ATTEMPTS = 3
MOST_LISTED = 20
DEPENDED_ON, REFUSED, LOCKED = "2BP01", "42501", "55P03"


@dataclass(slots=True)
class Dropped:
    """Databases in which something was handed over, and why roles are still there, by the role's OID."""

    reassigned: dict[int, list[str]] = field(default_factory=dict)
    failures: dict[int, TargetError] = field(default_factory=dict)


def drop_logins(session: Session, target: Target, roles: Sequence[LoginRole], budget: Budget) -> Dropped:
    """Drop roles: those that left nothing in one statement, the others one by one."""
    dropped = Dropped()
    if not roles:
        return dropped
    left = {row["oid"] for row in session.ask(READ_DEPENDENCIES, {"oids": [role.oid for role in roles]})}
    prepared = {row["role"] for row in _prepared(session, [role.name for role in roles])}
    plain = [role for role in roles if role.oid not in left and role.name not in prepared]
    if plain and not _drop_together(session, plain):
        plain = []
    gone = {role.oid for role in plain}
    for role in roles:
        if role.oid not in gone:
            _drop_alone(session, target, role, budget, dropped)
    return dropped


def prepared_notes(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return, by role, what a DBA should know: prepared transactions outlive the role, and keep their locks."""
    notes: dict[str, list[str]] = {}
    for row in _prepared(session, names):
        notes.setdefault(row["role"], []).append(
            f"The transaction {row['gid']!r} in {row['database']}, prepared by the login, outlives it. {_finish(row)}"
        )
    return notes


def _drop_together(session: Session, roles: Sequence[LoginRole]) -> bool:
    try:
        session.send([drop_roles([role.name for role in roles])])
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        return False
    return True


def _drop_alone(session: Session, target: Target, role: LoginRole, budget: Budget, dropped: Dropped) -> None:
    try:
        dropped.reassigned[role.oid] = _drop_login(session, target, role, budget)
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


def _drop_login(session: Session, target: Target, role: LoginRole, budget: Budget) -> list[str]:
    """Clean up behind one role and drop it; again when somebody made a dependency meanwhile."""
    reassigned: list[str] = []
    for attempt in range(1, DROP_ATTEMPTS + 1):
        reassigned += empty_role(session, target, role, budget)
        try:
            drop = partial(session.send, [*BEGIN_BRIEFLY, drop_roles([role.name]), COMMIT])
            # Anybody may hold the role for as long as they like, and the others of the batch wait behind us.
            session.repeat(drop, but_not=LOCKED)
        except psycopg.Error as error:
            session.roll_back()
            if error.sqlstate == LOCKED and (prepared := _prepared(session, [role.name])):
                raise _held_by_prepared(session, role, prepared) from None
            if error.sqlstate != DEPENDED_ON or attempt == DROP_ATTEMPTS:
                todo = _what_is_left(session, target, role) if error.sqlstate == DEPENDED_ON else ""
                raise session.explained(error, todo=todo) from None
        else:
            break
    return list(dict.fromkeys(reassigned))


def empty_role(
    session: Session, target: Target, role: LoginRole, budget: Budget, *, beginning: Sequence[Statement] = BEGIN_BRIEFLY
) -> list[str]:
    """Hand over what a role owns and take away what it holds, everywhere; return where something was handed over.

    Every transaction starts with `beginning`. Raises TargetRefused when the resource's setting leaves it to an admin.
    """
    rows = session.ask(READ_DEPENDENCIES, {"oids": [role.oid]})
    if target.leftovers == KEEP:
        _refuse_what_it_owns(session, target, role, rows, budget)
    here = session.conn.info.dbname
    owns: dict[str, bool] = {}
    for row in rows:  # shared objects ("") are handed over from the database at hand
        owns[row["database"] or here] = owns.get(row["database"] or here, False) or row["owns"]
    for database, owns_there in owns.items():
        if database == here:
            _empty_here(session, target, role, beginning, owns=owns_there)
        else:
            with database_session(target, database, budget) as other:
                _empty_here(other, target, role, beginning, owns=owns_there)
    handed_over = [row["database"] for row in rows if row["owns"] and row["database"] and target.leftovers != KEEP]
    return list(dict.fromkeys(handed_over))


def _empty_here(
    session: Session, target: Target, role: LoginRole, beginning: Sequence[Statement], *, owns: bool
) -> None:
    owner = new_owner(target)
    hands_over = owns and target.leftovers != KEEP
    if hands_over:
        ensure_owner(session, target)
    own_rights = [] if _acts_as_superuser(session) else [step_into(role.name, session.server_version)]
    first = [disarm_owned(role.oid), reassign_owned(role.name, owner)] if hands_over else [guard_owns_nothing(role.oid)]
    try:
        _revoke_held(session, role, beginning)
        clearing = [*own_rights, *first, drop_owned(role.name)]
        session.repeat(partial(_clear, session, role, beginning, clearing))
    except psycopg.Error as error:
        session.roll_back()
        if error.sqlstate != REFUSED:
            raise
        raise may_not_hand_over(session, role, owner, error) from None
    _take_back_what_others_gave(session, role)


def _revoke_held(session: Session, role: LoginRole, beginning: Sequence[Statement]) -> None:
    """Revoke in locked chunks what the role holds on relations and sequences.

    DROP OWNED would take it away as well, and let the application's DDL beside it fail.
    """
    tried: set[str] = set()
    while names := [row["name"] for row in _held(session, role) if row["name"] not in tried][:CHUNK_SIZE]:
        _revoke_some(session, role, beginning, names)
        tried.update(names)


def _held(session: Session, role: LoginRole) -> list[Row]:
    return [row for row in session.send([read_held(role.oid)])[0] if row["kind"] in {"relation", "sequence"}]


def _revoke_some(session: Session, role: LoginRole, beginning: Sequence[Statement], names: Sequence[str]) -> None:
    """Revoke what is held of these, together. What is not ours to take back is left: DROP ROLE says so in the end."""

    def revoke() -> None:
        chunk = [row for row in _held(session, role) if row["name"] in names]
        tables = [row["name"] for row in chunk if row["kind"] == "relation"]
        sequences = [row["name"] for row in chunk if row["kind"] == "sequence"]
        taken = [revoke_tables(tables, role.name)] if tables else []
        taken += [revoke_on("SEQUENCE", sequences, role.name)] if sequences else []
        if taken:
            session.send([*beginning, *hold([(row["name"], row["relkind"]) for row in chunk]), *taken, COMMIT])

    try:
        session.repeat(revoke)
    except psycopg.Error as error:
        if error.sqlstate != REFUSED:
            raise
        session.roll_back()
        for name in names if len(names) > 1 else ():
            _revoke_some(session, role, beginning, [name])


def _clear(session: Session, role: LoginRole, beginning: Sequence[Statement], clearing: Sequence[Statement]) -> None:
    """Take the rest while the schemas that it is about cannot go away."""
    schemas = [row["name"] for row in session.send([read_held(role.oid)])[0] if row["kind"] == "schema"]
    session.send([*beginning, *([lock_schemas(schemas)] if schemas else []), *clearing, COMMIT])


def _take_back_what_others_gave(session: Session, role: LoginRole) -> None:
    """Revoke as each grantor what DROP OWNED leaves, where we may; what stays makes DROP ROLE say so."""
    for row in session.ask(READ_FOREIGN, {"oid": role.oid}):
        try:
            session.send([BEGIN, *revoke_as(row["grantor"], row["kind"], row["name"], role.name), COMMIT])
        except psycopg.Error as error:
            if is_lost(error):
                raise
            session.roll_back()


def new_owner(target: Target) -> str:
    """Return the role that takes over what a role of the portal left on this target."""
    return target.leftover_owner or QUARANTINE_ROLE


def may_not_hand_over(session: Session, role: LoginRole, owner: str, error: psycopg.Error) -> TargetError:
    """Explain a refusal (42501) to hand a role's objects over, with what a DBA runs."""
    schemas = [row["schema"] for row in session.ask(READ_OWNED_SCHEMAS, {"oid": role.oid})]
    mend = advice.hand_over_to(
        owner, _acting_role(session), session.server_version, schemas=schemas, database=session.conn.info.dbname
    )
    return session.explained(error, todo=str(mend))


def _acting_role(session: Session) -> str:
    return str(session.conn.execute("SELECT current_user::text").fetchall()[0][0])


def ensure_owner(session: Session, target: Target) -> None:
    """Make sure that the new owner exists: ours is made, one that an admin chose has to be there."""
    owner = new_owner(target)
    row = session.ask(has_role(owner))[0]
    if row["is_superuser"]:
        raise TargetRefused(
            f"The role {owner}, which takes over what logins leave on “{target.name}”, is a superuser.",
            why="What a person made must never run with a superuser's rights.",
            todo="Choose a role without rights as the new owner of leftovers in the resource.",
            sqlstate="42501",
        )
    if row["found"]:
        return
    version = session.server_version
    if target.leftover_owner not in {"", QUARANTINE_ROLE}:
        raise TargetRefused(
            f"The role {owner}, which takes over what logins leave on “{target.name}”, does not exist.",
            why="The resource names it as the new owner of leftovers.",
            todo=str(advice.make_owner(owner, _acting_role(session), version)),
            sqlstate="42704",
        )
    own = [] if _acts_as_superuser(session) else [step_into(owner, version, with_set=True)]
    try:
        session.send([BEGIN, create_quarantine(owner), *own, COMMIT])
    except psycopg.Error as error:
        session.roll_back()
        if error.sqlstate not in {"42710", "23505"}:
            raise


def _acts_as_superuser(session: Session) -> bool:
    return session.conn.info.parameter_status("is_superuser") == "on"


def _refuse_what_it_owns(session: Session, target: Target, role: LoginRole, rows: list[Row], budget: Budget) -> None:
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
    return session.ask(READ_PREPARED, {"names": list(names)})


def _finish(row: Row) -> str:
    return str(advice.finish_prepared(row["database"], row["gid"]))


def _held_by_prepared(session: Session, role: LoginRole, prepared: list[Row]) -> TargetRefused:
    return TargetRefused(
        f"{role.name} on “{session.target_name}” cannot be dropped: a transaction that it prepared holds on to it.",
        why="; ".join(f"{row['gid']!r} in {row['database']}" for row in prepared) + ".",
        todo=" ".join(_finish(row) for row in prepared) + " The ending then finishes by itself.",
        sqlstate=LOCKED,
    )


def _what_is_left(session: Session, target: Target, role: LoginRole) -> str:
    rows = session.ask(READ_DEPENDENCIES, {"oids": [role.oid]})
    return str(advice.clear_by_hand(role.name, new_owner(target), [row["database"] for row in rows]))
