"""Finds another database of a server through which logins are ended, when theirs lets the portal in no more.

Roles and sessions belong to the cluster, so any database of it serves: one that was renamed or dropped, or takes no
connections or no more of them, keeps nobody in. Whether it is the right cluster is told by whoever looks for the roles
there, as at any address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.connect.secrets_manager import resolve_target
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.servers import read_database

CLOSED = frozenset({"3D000", "53300", "55000", "42501", "28000"})
"""The database does not exist, is full, takes nobody, or not this login; a pg_hba.conf may say so of one database."""
USUAL = ("postgres", "template1", "defaultdb")


@dataclass(frozen=True, slots=True)
class Detour:
    """The target with databases that let the portal in, and what a receipt says about that."""

    target: Target
    note: str


def find_detour(target: Target, error: TargetError, capabilities: Sequence[str], budget: Budget) -> Detour | None:
    """Return how to reach the target's servers through other databases; None when that is not what is wrong.

    `capabilities` are the roles by whose privileges a renamed database is known.
    """
    if error.sqlstate not in CLOSED:
        return None
    open_target = _opened(replace(target, primary=None), budget)
    open_primary = _opened(target.primary, budget) if target.primary is not None else None
    if open_target is None or (target.primary is not None and open_primary is None):
        return None
    found = replace(target, database_name=open_target.database_name, primary=open_primary)
    if found == target:
        return None
    return Detour(found, _note(target, found, capabilities, budget))


def _opened(target: Target, budget: Budget) -> Target | None:
    """Return the target as it is if it can be connected to, else with another database; None when there is none."""
    for place in (target, *(replace(target, database_name=name) for name in _others(target))):
        try:
            with admin_session(place, budget):
                return place
        except TargetError:
            continue
    return None


def _others(target: Target) -> list[str]:
    resolved = resolve_target(target)
    return [name for name in dict.fromkeys((*USUAL, resolved.username)) if name != resolved.database_name]


def _note(target: Target, found: Target, capabilities: Sequence[str], budget: Budget) -> str:
    missed = target if found.database_name != target.database_name else (target.primary or target)
    used = found if missed is target else (found.primary or found)
    name = resolve_target(missed).database_name
    with admin_session(used, budget) as session:
        row = session.ask(read_database(name), {"capabilities": list(capabilities)})[0]
    others = [known for known in row["known"] if known != name]
    if row["is_there"]:
        what = f"The database “{name}” did not let the portal in."
    elif others:
        what = f"There is no database “{name}” any more: the portal's roles are known in {', '.join(others)}."
    else:
        what = f"There is no database “{name}” any more."
    todo = "" if row["is_there"] else " Correct the database's name in the resource."
    return f"{what} The login was ended through “{used.database_name}”.{todo}"
