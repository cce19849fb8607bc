"""Who takes over what roles of the portal leave: a role with nothing to lose, whose code is a stranger's one day.

An admin may choose another role than jit_quarantine. One that owns, holds or may do more is not used: the leftovers go
to jit_quarantine then, and the receipt says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.passed_on import gifts_in
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, QUARANTINE_ROLE
from accessmgmt.provisioning.statements.chains import READ_ME, read_entries
from accessmgmt.provisioning.statements.ending import (
    create_quarantine,
    read_lacking_to_hand_over,
    read_owner_powers,
    step_into,
)

REFUSED = "42501"
MOST_LISTED = 5
PLACES = frozenset({"SCHEMA", "DATABASE", "FOREIGN DATA WRAPPER"})


@dataclass(frozen=True, slots=True)
class NewOwner:
    """The role that takes over, and what an admin should know about the choice. `found` is False for one to be made."""

    name: str
    found: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnerPowers:
    """What a role has that a stranger's code must not run with, in words."""

    name: str
    found: bool
    powers: tuple[str, ...]
    oid: int = 0
    attributes: tuple[str, ...] = ()
    memberships: tuple[tuple[str, str], ...] = ()

    def in_words(self) -> str:
        """List the first of them."""
        more = len(self.powers) - MOST_LISTED
        return ", ".join(self.powers[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def named_owner(target: Target) -> str:
    """Return the role that the resource names."""
    return target.leftover_owner or QUARANTINE_ROLE


def read_powers(session: Session, owner: str) -> OwnerPowers:
    """Ask what a role has to lose, in the connected database."""
    row = session.send([read_owner_powers(owner, is_chosen=owner != QUARANTINE_ROLE)])[0][0]
    return OwnerPowers(
        owner,
        row["found"],
        tuple(row["powers"]),
        row["oid"] or 0,
        tuple(row["attributes"]),
        tuple(map(_pair, row["memberships"])),
    )


def strip(session: Session, owner: OwnerPowers) -> list[advice.Advice]:
    """Return what a DBA runs so that a role has nothing to lose any more."""
    rows = session.send([read_entries([owner.oid], session.server_version)])[0]
    gifts = gifts_in(row for row in rows if row["grantee_oid"] == owner.oid and row["kind"] not in PLACES)
    mend = [advice.undo_attributes(owner.name, owner.attributes)] if owner.attributes else []
    mend += [advice.leave_roles(owner.name, owner.memberships, session.server_version)] if owner.memberships else []
    mend += [advice.take_back_by_hand([gift.gift for gift in gifts], session.conn.info.dbname)] if gifts else []
    return mend


def _pair(text: str) -> tuple[str, str]:
    first, _, second = text.partition("\n")
    return first, second


def choose_owner(session: Session, target: Target) -> NewOwner:
    """Return who takes over: the named role, or jit_quarantine where that one has something to lose.

    Raises TargetRefused when the named role is missing, or when jit_quarantine itself was given something to lose.
    """
    name = named_owner(target)
    found = read_powers(session, name)
    if name == QUARANTINE_ROLE or (found.found and not found.powers):
        return _checked(session, target, found, ())
    if not found.found:
        raise TargetRefused(
            f"The role {name}, which takes over what logins leave on “{target.name}”, does not exist.",
            why="The resource names it as the new owner of leftovers.",
            todo=str(advice.make_owner(name, acting_role(session), session.server_version)),
            sqlstate="42704",
        )
    note = (
        f"{session.conn.info.dbname}: what it left went to {QUARANTINE_ROLE} and not to {name}, which"
        f" {found.in_words()}: code of a person must never run with such rights. Choose a role that owns and may do"
        " nothing in the resource."
    )
    return _checked(session, target, read_powers(session, QUARANTINE_ROLE), (note,))


def likely_owner(session: Session, target: Target) -> str:
    """Return who would take over, for showing it: also where nobody can until a DBA has changed something."""
    try:
        return choose_owner(session, target).name
    except TargetRefused:
        return named_owner(target)


def _checked(session: Session, target: Target, found: OwnerPowers, notes: tuple[str, ...]) -> NewOwner:
    if not found.powers:
        return NewOwner(found.name, found.found, notes)
    raise TargetRefused(
        f"The role {found.name}, which takes over what logins leave on “{target.name}”, is not powerless.",
        why=f"It {found.in_words()}; what a person made would run with such rights.",
        todo=advice.in_words(strip(session, found)),
        sqlstate=REFUSED,
    )


def ensure_owner(session: Session, target: Target) -> NewOwner:
    """Choose the new owner, and make jit_quarantine where it is missing. Raises TargetRefused as choose_owner does."""
    owner = choose_owner(session, target)
    if owner.found:
        return owner
    is_superuser = session.conn.info.parameter_status("is_superuser") == "on"
    own = [] if is_superuser else [step_into(owner.name, session.server_version, with_set=True)]
    try:
        session.send([BEGIN, create_quarantine(owner.name), *own, COMMIT])
    except psycopg.Error as error:
        session.roll_back()
        if error.sqlstate not in {"42710", "23505"}:
            raise
    return owner


def acting_role(session: Session) -> str:
    """Return the role as which the portal acts."""
    return str(session.ask(READ_ME)[0]["name"])


def may_not_hand_over(session: Session, role: FoundRole, owner: str, error: psycopg.Error) -> TargetError:
    """Explain a refusal (42501) to hand a role's objects over, with what a DBA runs; never what is already so."""
    rows = session.send([read_lacking_to_hand_over(role.oid, owner, session.server_version)])[0]
    lacking = [row for row in rows if row["kind"] != "event_trigger"]
    if lacking:
        return session.explained(error, todo=advice.in_words(_mend(session, owner, lacking)))
    place = session.conn.info.dbname
    mend = [advice.let_event_trigger_run(*_pair(row["name"]), place) for row in rows]
    return session.explained(error, todo=advice.in_words(mend))


def _mend(session: Session, owner: str, lacking: Sequence[Row]) -> list[advice.Advice]:
    """Return what mends each kind of lack."""
    database, worker = session.conn.info.dbname, acting_role(session)
    names: dict[str, list[str]] = {}
    for row in lacking:
        names.setdefault(row["kind"], []).append(row["name"])
    mend = []
    mend += [advice.let_own_in(owner, schema, database) for schema in names.get("schema", ())]
    if "membership" in names:
        mend.append(advice.hand_over_to(owner, worker, session.server_version))
    if "create_here" in names:
        mend.append(advice.let_create_in(worker, database))
    if "create_there" in names:
        mend.append(advice.let_create_in(owner, database))
    if "wrapper" in names:
        mend.append(advice.let_use_wrappers(owner, names["wrapper"], database))
    return mend
