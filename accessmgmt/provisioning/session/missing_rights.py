"""What the admin credential lacks on a server, each with the SQL that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.advice import Advice
from accessmgmt.provisioning.statements.base import QUARANTINE_ROLE


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing, and what mends it."""

    what: str
    advice: Advice


def missing_in(row: Mapping[str, Any], server_version: int) -> list[Missing]:
    """Return what is missing, in the order in which a DBA mends it.

    `row` is the answer of queries/preflight.sql, its `not_administered` names of roles that are provably ours: to let
    the admin role administer one that only pretends to be would be a way to more rights.
    """
    worker, database = row["worker"], row["database"]
    found: list[Missing] = []
    if not row["is_stepped_in"]:
        mend = advice.step_into(row["login"], worker, server_version)
        found.append(Missing(f"{row['login']} cannot step into {worker}", mend))
    if not row["may_create_roles"]:
        found.append(Missing(f"{worker} may not create roles", advice.create_roles(worker)))
    if not row["may_pass_connect"]:
        mend = advice.pass_connect_on(worker, database)
        found.append(Missing(f"{worker} may not pass on CONNECT to the database {database}", mend))
    if row["lacks_quarantine"]:
        mend = advice.hand_over_to(QUARANTINE_ROLE, worker, server_version)
        found.append(Missing(f"{worker} cannot hand objects over to {QUARANTINE_ROLE}", mend))
    if row["not_administered"]:
        found.append(_without_admin(row["not_administered"], worker))
    return found


def _without_admin(roles: list[str], worker: str) -> Missing:
    """Roles from before an upgrade to 16, or made by another credential, have no ADMIN row for the worker."""
    what = f"{worker} has no ADMIN option on {len(roles)} roles of the portal, made before PostgreSQL 16 or by others"
    return Missing(what, advice.administer(roles, worker))


def as_sentence(found: list[Missing]) -> str:
    """Return what is missing as one sentence."""
    text = "; ".join(item.what for item in found)
    return f"{text[:1].upper()}{text[1:]}." if found else ""
