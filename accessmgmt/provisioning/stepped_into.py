"""Takes the sting out of what somebody left in a capability role's name, and hands it over as a login's own.

Up to 15 every member may step into the role (later where somebody gave SET), and what it makes there runs and reads
with all that the set may do, for as long as it exists: a SECURITY DEFINER routine outlives its author's grant. The role
itself stays, with what it was given: others need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.execute import Interrupted, Session
from accessmgmt.provisioning.failures import is_lost
from accessmgmt.provisioning.fence import LoginRole
from accessmgmt.provisioning.leftovers import KEEP, session_in
from accessmgmt.provisioning.new_owner import REFUSED, ensure_owner, may_not_hand_over, named_owner
from accessmgmt.provisioning.out_of_the_way import find_in_the_way, tell_moved
from accessmgmt.provisioning.statements import COMMIT, Statement
from accessmgmt.provisioning.statements_end import DEPENDENCIES, read_owned, reassign_owned, step_into
from accessmgmt.provisioning.statements_locks import BEGIN_BRIEFLY
from accessmgmt.provisioning.statements_privileges import disarm_owned, move_away, step_out

MOST_LISTED = 5


def settle_owned(session: Session, target: Target, role: LoginRole, budget: Budget) -> list[str]:
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
                notes.append(_note(database, role, owned, _hand_over(place, target, role)))
    return notes


def disarm(session: Session, role: LoginRole) -> None:
    """See to it that nothing the role owns here runs or is shared in its name any more. Raises TargetError."""
    try:
        session.repeat(partial(session.send, _as_it(session, role, [disarm_owned(role.oid)])))
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        raise session.explained(error) from None


def _hand_over(session: Session, target: Target, role: LoginRole) -> str:
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


def _as_it(session: Session, role: LoginRole, work: Sequence[Statement]) -> list[Statement]:
    """Return a transaction that has the role's own rights."""
    if session.conn.info.parameter_status("is_superuser") == "on":
        return [*BEGIN_BRIEFLY, *work, COMMIT]
    return [*BEGIN_BRIEFLY, step_into(role.name, session.server_version), *work, step_out(role.name), COMMIT]


def _note(database: str, role: LoginRole, owned: Sequence[str], outcome: str) -> str:
    more = f" and {len(owned) - MOST_LISTED} more" if len(owned) > MOST_LISTED else ""
    return (
        f"{database}: somebody had left {', '.join(owned[:MOST_LISTED])}{more} in the name of {role.name}, which holds"
        f" the permission set. Nobody runs or reads it as that role any more. {outcome}"
    )
