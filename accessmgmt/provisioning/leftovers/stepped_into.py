"""Takes the sting out of what somebody left in a capability role's name: what it owns, and what it passed on.

Up to 15 every member may step into the role (later where somebody gave SET), and what it makes there runs and reads
with all that the set may do, for as long as it exists: a SECURITY DEFINER routine outlives its author's grant. It is
handed over as a login's own. And where a DBA gave the role something WITH GRANT OPTION, every member may pass that on
in its name. Nobody can tell which member did, and no set says that it may be: all of it is taken back with any of their
grants. The role itself stays, with what it was given: others need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.leftovers.back_doors import remove_hooks
from accessmgmt.provisioning.leftovers.drop import KEEP, session_in
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.held_up import insist
from accessmgmt.provisioning.leftovers.new_owner import REFUSED, ensure_owner, may_not_hand_over, named_owner
from accessmgmt.provisioning.leftovers.out_of_the_way import find_in_the_way, tell_moved
from accessmgmt.provisioning.leftovers.passed_on import PassedOn, take_back_passed_on
from accessmgmt.provisioning.session.conversation import Interrupted, Row, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import COMMIT, Statement
from accessmgmt.provisioning.statements.chains import disarm_owned, move_away, read_entries, step_out
from accessmgmt.provisioning.statements.ending import (
    DEPENDENCIES,
    OPTIONS_SINCE,
    READ_LET_IN,
    read_owned,
    reassign_owned,
    revoke_memberships,
    step_into,
)
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY

MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class UnsettledSet:
    """A capability role in whose name somebody left something."""

    role: FoundRole
    owns: bool
    has_passed_on: bool
    has_let_in: bool


@dataclass(slots=True)
class Settled:
    """What a receipt says, and why something is as it was."""

    notes: list[str] = field(default_factory=list)
    error: TargetError | None = None


def unsettled_sets(rows: Sequence[Row], tags: Mapping[str, str]) -> list[UnsettledSet]:
    """Return the roles of UNSETTLED's answer that bear the tag of a capability role. `tags` are those, by name."""
    return [
        UnsettledSet(FoundRole(row["name"], row["oid"], (), ""), row["owns"], row["passed_on"], row["has_let_in"])
        for row in rows
        if tags.get(row["name"]) == row["tag"]
    ]


def settle_set(session: Session, target: Target, found: UnsettledSet, budget: Budget) -> Settled:
    """See to all that was left in a capability role's name. What one part may not do keeps no other."""
    settled = Settled()
    works: list[Callable[[], list[str]]] = []
    if found.has_let_in:
        works.append(partial(put_out_whom_it_let_in, session, target, found.role))
    if found.has_passed_on:
        works.append(partial(take_back_what_it_passed_on, session, target, found.role))
    if found.owns:
        works.append(partial(settle_owned, session, target, found.role, budget))
    for work in works:
        try:
            settled.notes += work()
        except Interrupted:
            raise
        except TargetError as error:
            settled.error = settled.error or error
    return settled


def put_out_whom_it_let_in(session: Session, target: Target, role: FoundRole) -> list[str]:
    """Take back memberships that were given in a capability role's name, and say so. Raises TargetError."""
    version, notes = session.server_version, list[str]()
    for row in session.ask(READ_LET_IN, {"oid": role.oid}):
        take = revoke_memberships(row["granted"], [row["member"]], role.name if version >= OPTIONS_SINCE else None)
        work = partial(session.send, _as_it(session, role, [take]))
        try:
            cut = insist(session, target, work, f"Whom {role.name} let in")
        except psycopg.Error as error:
            if is_lost(error):
                raise
            session.roll_back()
            raise session.explained(error) from None
        notes += [f"It kept this ending waiting, and was ended: {blocker.in_words()}." for blocker in cut]
        notes.append(f"Somebody had made {row['member']} a member of {row['granted']} as {role.name}: that is over.")
    return notes


def take_back_what_it_passed_on(session: Session, target: Target, role: FoundRole) -> list[str]:
    """Let a capability role take back what it passed on here; return who lost what, in words.

    Raises HeldUp when somebody keeps that waiting who is not ours to cut, and TargetRefused when something is left.
    """
    place, notes = session.conn.info.dbname, list[str]()

    def run(statements: Sequence[Statement]) -> list[list[Row]]:
        results: list[list[Row]] = []

        def work() -> None:
            results[:] = session.send([*BEGIN_BRIEFLY, *statements, COMMIT])

        for blocker in insist(session, target, work, f"What {role.name} passed on"):
            notes.append(f"It kept this ending waiting, and was ended: {blocker.in_words()}.")
        return results

    try:
        taken = take_back_passed_on(session, role.name, role.oid, run)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        raise session.explained(error) from None
    notes += [f"{place}: {gift.in_words()}, which {gift.grantor} had passed on." for gift in taken.lost]
    if taken.left:
        raise _may_not_take_back(session, role, taken.left)
    return notes


def _may_not_take_back(session: Session, role: FoundRole, left: Sequence[PassedOn]) -> TargetRefused:
    listed = [f"{', '.join(g.privileges)} on {g.kind.lower()} {g.name} to {g.grantee}" for g in left]
    more = f" and {len(left) - MOST_LISTED} more" if len(left) > MOST_LISTED else ""
    rows = session.send([read_entries([role.oid], session.server_version)])[0]
    held = {(row["kind"], row["name"], row["privilege"]) for row in rows if row["grantee_oid"] == role.oid}
    by_hand = advice.take_back_anew([gift.gift for gift in left], held, session.conn.info.dbname)
    return TargetRefused(
        f"{role.name} on “{session.target_name}” passed on what the portal may not take back.",
        why=f"Somebody gave in its name: {'; '.join(listed[:MOST_LISTED])}{more}.",
        todo=str(by_hand),
        sqlstate=REFUSED,
    )


def settle_owned(session: Session, target: Target, role: FoundRole, budget: Budget) -> list[str]:
    """Disarm, in every database, what a capability role owns, and hand it over unless the resource keeps leftovers.

    Returns what a receipt says. Raises TargetError where something could not even be disarmed; that it could not be
    handed over is said.
    """
    here = session.conn.info.dbname
    rows = session.ask_one(DEPENDENCIES, {"oids": [role.oid]})
    notes: list[str] = []
    for database in dict.fromkeys(row["database"] or here for row in rows if row["owns"] or row["has_defaults"]):
        with session_in(session, target, database, budget) as place:
            if any(row["has_defaults"] for row in rows if row["database"] == database):
                disarm(place, role)
                notes.append(
                    f"{database}: somebody had chosen who gets what is made in the name of {role.name}, which holds the"
                    " permission set (ALTER DEFAULT PRIVILEGES). That is as usual again."
                )
            owned = [f"{row['type']} {row['name']}" for row in place.send([read_owned(role.oid)])[0]]
            if owned:
                disarm(place, role)
                notes += undo_hooks(place, target, role)
                notes.append(_note(database, role, owned, _hand_over(place, target, role)))
    return notes


def undo_hooks(session: Session, target: Target, role: FoundRole) -> list[str]:
    """Undo what hangs on tables of others and is the role's: nobody finds it any more when that has another owner.

    A person may hand what they hung there to the role, or make it in its name. Raises TargetError.
    """
    try:
        return remove_hooks(session, target, role)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        raise session.explained(error) from None


def disarm(session: Session, role: FoundRole) -> None:
    """See to it that nothing the role owns here runs or is shared in its name any more. Raises TargetError."""
    try:
        session.repeat(partial(session.send, _as_it(session, role, [disarm_owned(role.oid)])))
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        raise session.explained(error) from None


def _hand_over(session: Session, target: Target, role: FoundRole) -> str:
    """Return what became of what was disarmed, in words."""
    if target.leftovers == KEEP:
        return "The resource leaves it to an admin."
    try:
        owner = ensure_owner(session, target)
        in_the_way = find_in_the_way(session, role)
        work = [move_away(role.oid), reassign_owned(role.name, owner.name)]
        session.repeat(partial(session.send, _as_it(session, role, work)))
    except Interrupted:
        raise
    except TargetError as error:
        return f"It could not be handed over: {error}"
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        refusal = (
            may_not_hand_over(session, role, named_owner(target), error)
            if error.sqlstate == REFUSED
            else session.explained(error)
        )
        return f"It could not be handed over: {refusal}"
    return " ".join([f"It went to {owner.name}.", *owner.notes, *tell_moved(session, in_the_way)])


def _as_it(session: Session, role: FoundRole, work: Sequence[Statement]) -> list[Statement]:
    """Return a transaction that has the role's own rights."""
    if session.conn.info.parameter_status("is_superuser") == "on":
        return [*BEGIN_BRIEFLY, *work, COMMIT]
    return [*BEGIN_BRIEFLY, step_into(role.name, session.server_version), *work, step_out(role.name), COMMIT]


def _note(database: str, role: FoundRole, owned: Sequence[str], outcome: str) -> str:
    more = f" and {len(owned) - MOST_LISTED} more" if len(owned) > MOST_LISTED else ""
    return (
        f"{database}: somebody had left {', '.join(owned[:MOST_LISTED])}{more} in the name of {role.name}, which holds"
        f" the permission set. Nobody runs or reads it as that role any more. {outcome}"
    )
