"""Drops capability roles that nothing needs any more (postgres.md 1.5 and 2.8).

A capability role holds privileges in every database of the server that used its set. They are revoked in chunks, under
the locks that keep the application's DDL waiting instead of failing; only then DROP OWNED has little left to do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.names import parse_tag
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.connect import admin_session, database_session
from accessmgmt.provisioning.discovery import with_primary
from accessmgmt.provisioning.execute import Row, Session
from accessmgmt.provisioning.plan import CHUNK_SIZE, LOCKABLE
from accessmgmt.provisioning.statements import (
    BEGIN,
    COMMIT,
    GUARD_SQLSTATE,
    LOCK_DATABASE,
    comment_on_role,
    drop_role,
    lock_relations,
    revoke_on,
    revoke_tables,
)
from accessmgmt.provisioning.statements_drift import guard_no_member, read_held, read_unused
from accessmgmt.provisioning.statements_end import READ_DEPENDENCIES, drop_owned, step_into

BUDGET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RetireReport:
    """Capability roles that were dropped, and why others are still there, by name."""

    dropped: tuple[str, ...]
    kept: dict[str, str]


def retire_capabilities(
    target: Target, installation_id: str, keep: Collection[str], *, budget_seconds: float = BUDGET_SECONDS
) -> RetireReport:
    """Drop this installation's capability roles without members whose set's digest is not among `keep`.

    A role for which row level security policies were written is kept and named: DROP OWNED would drop them with it.
    Raises TargetUnavailable or TargetRefused when the server cannot be asked at all.
    """
    dropped: list[str] = []
    kept: dict[str, str] = {}
    target = with_primary(target, budget_seconds)
    writable = target.primary or target
    budget = Budget(budget_seconds)
    with admin_session(writable, budget) as session:
        for row in session.send([read_unused(installation_id)])[0]:
            tag = parse_tag(row["tag"])
            if tag is None or tag.installation_id != installation_id or tag.ref in keep:
                continue
            try:
                _retire(session, writable, row, budget)
            except TargetError as error:
                session.roll_back()
                kept[row["name"]] = str(error)
            except psycopg.Error as error:
                session.roll_back()
                is_used = error.sqlstate == GUARD_SQLSTATE
                kept[row["name"]] = "It is used again." if is_used else str(session.explained(error))
            else:
                dropped.append(row["name"])
    return RetireReport(tuple(dropped), kept)


def _retire(session: Session, target: Target, role: Row, budget: Budget) -> None:
    databases = sorted({row["database"] for row in session.ask(READ_DEPENDENCIES, {"oids": [role["oid"]]})})
    here = session.conn.info.dbname
    elsewhere = [name for name in databases if name and name != here]
    # First look everywhere: nothing is taken away where something has to stay.
    for work in (_refuse_policies, _empty):
        work(session, role)
        for database in elsewhere:
            with database_session(target, database, budget) as other:
                work(other, role)
    # The comment locks the role against a new membership until it is gone (postgres.md 3.3).
    name = role["name"]
    session.send([BEGIN, comment_on_role(name, role["tag"]), guard_no_member(name), drop_role(name), COMMIT])


def _refuse_policies(session: Session, role: Row) -> None:
    policies = [row for row in session.send([read_held(role["oid"])])[0] if row["kind"] == "policy"]
    if policies:
        listed = ", ".join(f"{row['relkind']} on {row['name']}" for row in policies[:5])
        raise TargetRefused(
            f"Policies in {session.conn.info.dbname} are written for {role['name']}: {listed}.",
            why="Dropping the role would drop them with it.",
            todo="A DBA drops them, or leaves the role.",
        )


def _empty(session: Session, role: Row) -> None:
    """Revoke in chunks, then take the rest: schemas, the database, default privileges."""
    name = role["name"]
    held = [row for row in session.send([read_held(role["oid"])])[0] if row["kind"] != "policy"]
    for kind in ("relation", "sequence"):
        rows = [row for row in held if row["kind"] == kind]
        for start in range(0, len(rows), CHUNK_SIZE):
            session.repeat(partial(_revoke_chunk, session, name, kind, rows[start : start + CHUNK_SIZE]))
    is_superuser = session.conn.info.parameter_status("is_superuser") == "on"
    own_rights = [] if is_superuser else [step_into(name, session.server_version)]
    session.repeat(
        lambda: session.send(
            [BEGIN, LOCK_DATABASE, guard_no_member(name), *own_rights, drop_owned(name), COMMIT],
        )
    )


def _revoke_chunk(session: Session, role: str, kind: str, rows: Sequence[Row]) -> None:
    names = [row["name"] for row in rows]
    lockable = [row["name"] for row in rows if row["relkind"] in LOCKABLE]
    locks = [lock_relations(lockable)] if lockable and session.server_version <= 17 else []
    revoke = revoke_tables(names, role) if kind == "relation" else revoke_on("SEQUENCE", names, role)
    session.send([BEGIN, LOCK_DATABASE, guard_no_member(role), *locks, revoke, COMMIT])
