"""Drops capability roles that nothing needs any more.

A capability role holds privileges in every database of the server that used its set. They are taken away as a login's
leftovers are, by one worker at a time and only while nobody is a member.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.names import Installation
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import admin_session, database_session
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.leftovers.drop import Emptied, empty_role
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, GUARD_SQLSTATE
from accessmgmt.provisioning.statements.drift import guard_no_member, read_held, read_holding, read_unused
from accessmgmt.provisioning.statements.ending import DEPENDENCIES
from accessmgmt.provisioning.statements.locks import BEGIN_ALONE
from accessmgmt.provisioning.statements.roles import comment_on_role, drop_role

BUDGET_SECONDS = 60.0
USED_AGAIN = "It is used again."
DEPENDED_ON = "2BP01"
MOST_HOLDING = 5


@dataclass(frozen=True, slots=True)
class RetireReport:
    """Capability roles that were dropped, and why others are still there, by name.

    `reassigned` are the databases in which something that a dropped one owned was handed over, `notes` say who lost
    what members had passed on from it.
    """

    dropped: tuple[str, ...]
    kept: dict[str, str]
    reassigned: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


def retire_capabilities(
    target: Target, installation: Installation, keep: Collection[str], *, budget_seconds: float = BUDGET_SECONDS
) -> RetireReport:
    """Drop this installation's capability roles without members whose set's digest is not among `keep`.

    A role for which row level security policies were written is kept and named: DROP OWNED would drop them with it.
    What a role owns (up to 15 a person may step into it) is handed over, or kept, as the resource says for logins.
    Raises TargetUnavailable or TargetRefused when the server cannot be asked at all.
    """
    dropped: list[str] = []
    kept: dict[str, str] = {}
    reassigned: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    writable = find_servers(target, budget_seconds).writable
    budget = Budget(budget_seconds)
    with admin_session(writable, budget, installation=installation) as session:
        for row in session.send([read_unused(installation)])[0]:
            tag = installation.read_tag(row["tag"], row["name"])
            if tag is None or tag.ref in keep:
                continue
            try:
                emptied = retire_role(session, writable, row, budget)
            except (TargetError, psycopg.Error) as error:
                session.roll_back()
                kept[row["name"]] = _why(session, row, error)
            else:
                dropped.append(row["name"])
                reassigned |= {row["name"]: emptied.reassigned} if emptied.reassigned else {}
                notes |= {row["name"]: emptied.notes} if emptied.notes else {}
    return RetireReport(tuple(dropped), kept, reassigned, notes)


def _why(session: Session, role: Row, error: TargetError | psycopg.Error) -> str:
    if error.sqlstate == GUARD_SQLSTATE:
        return USED_AGAIN
    if error.sqlstate == DEPENDED_ON and isinstance(error, psycopg.Error):
        holding = [row["what"] for row in session.ask(read_holding(role["oid"], MOST_HOLDING + 1))]
        more = ", and more" if len(holding) > MOST_HOLDING else ""
        held = f"It still holds privileges on, or owns: {', '.join(holding[:MOST_HOLDING])}{more}."
        return f"{held} The portal may not change that: who gave it takes it back. ({DEPENDED_ON})"
    return str(session.explained(error) if isinstance(error, psycopg.Error) else error)


def retire_role(session: Session, target: Target, role: Row, budget: Budget) -> Emptied:
    """Drop one capability role; return what came of emptying it.

    Raises psycopg.Error (22012) when somebody is its member, and TargetRefused when something keeps it.
    """
    databases = sorted({row["database"] for row in session.ask_one(DEPENDENCIES, {"oids": [role["oid"]]})})
    here = session.conn.info.dbname
    elsewhere = [name for name in databases if name and name != here]
    # First look everywhere: nothing is taken away where something has to stay.
    _refuse_policies(session, role)
    for database in elsewhere:
        with database_session(target, database, budget) as other:
            _refuse_policies(other, role)
    name = role["name"]
    found = FoundRole(name, role["oid"], (), "")
    emptied = Emptied()
    empty_role(session, target, found, budget, emptied, beginning=[*BEGIN_ALONE, guard_no_member(name)])
    # The comment locks the role against a new membership until it is gone.
    session.send([BEGIN, comment_on_role(name, role["tag"]), guard_no_member(name), drop_role(name), COMMIT])
    return emptied


def _refuse_policies(session: Session, role: Row) -> None:
    policies = [row for row in session.send([read_held(role["oid"])])[0] if row["kind"] == "policy"]
    if policies:
        listed = ", ".join(f"{row['relkind']} on {row['name']}" for row in policies[:5])
        raise TargetRefused(
            f"Policies in {session.conn.info.dbname} are written for {role['name']}: {listed}.",
            why="Dropping the role would drop them with it.",
            todo="A DBA drops them, or leaves the role.",
        )
