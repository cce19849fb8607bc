"""Drops a fenced login role: hands over what it owns, in every database where it left something (postgres.md 5.5)."""

from __future__ import annotations

from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.connect import database_session
from accessmgmt.provisioning.execute import Row, Session
from accessmgmt.provisioning.fence import GONE, LoginRole
from accessmgmt.provisioning.statements import (
    BEGIN,
    COMMIT,
    QUARANTINE_ROLE,
    READ_DEPENDENCIES,
    READ_OWNED_SCHEMAS,
    READ_PREPARED,
    create_quarantine,
    drop_owned,
    drop_role,
    has_role,
    reassign_owned,
    step_into,
)

DROP_ATTEMPTS = 3
DEPENDED_ON, REFUSED = "2BP01", "42501"


def drop_login(session: Session, target: Target, role: LoginRole, budget: Budget) -> list[str]:
    """Drop the role; return the databases in which something was handed to quarantine.

    Usually a login owns nothing and one DROP ROLE is all. It is tried again when somebody made a dependency meanwhile.
    """
    reassigned: list[str] = []
    for attempt in range(1, DROP_ATTEMPTS + 1):
        for row in session.ask(READ_DEPENDENCIES, {"oid": role.oid}):
            _clean(session, target, role, row, budget)
            if row["owns"] and row["database"]:
                reassigned.append(row["database"])
        try:
            session.repeat(partial(_drop, session, role))
        except psycopg.Error as error:
            if error.sqlstate != DEPENDED_ON or attempt == DROP_ATTEMPTS:
                raise session.explained(error, todo=_what_is_left(session, role) if attempt > 1 else "") from None
        else:
            break
    return list(dict.fromkeys(reassigned))


def _drop(session: Session, role: LoginRole) -> None:
    try:
        session.send([drop_role(role.name)])
    except psycopg.Error as error:
        if error.sqlstate != GONE:
            raise


def _clean(session: Session, target: Target, role: LoginRole, row: Row, budget: Budget) -> None:
    """Clean one database; shared objects ("") are handed over from the database at hand."""
    if not row["database"] or row["database"] == session.conn.info.dbname:
        _clean_here(session, role, owns=row["owns"])
        return
    with database_session(target, row["database"], budget) as other:
        _clean_here(other, role, owns=row["owns"])


def _clean_here(session: Session, role: LoginRole, *, owns: bool) -> None:
    version = session.server_version
    if owns:
        _ensure_quarantine(session)
    own_rights = [] if _acts_as_superuser(session) else [step_into(role.name, version)]
    hand_over = [reassign_owned(role.name)] if owns else []
    try:
        session.repeat(lambda: session.send([BEGIN, *own_rights, *hand_over, drop_owned(role.name), COMMIT]))
    except psycopg.Error as error:
        session.roll_back()
        raise _explained(session, role, error) from None


def _explained(session: Session, role: LoginRole, error: psycopg.Error) -> TargetError:
    todo = ""
    if error.sqlstate == REFUSED:
        schemas = [row["schema"] for row in session.ask(READ_OWNED_SCHEMAS, {"oid": role.oid})]
        grants = " ".join(f"GRANT CREATE ON SCHEMA {name} TO {QUARANTINE_ROLE};" for name in schemas)
        option = " WITH INHERIT TRUE, SET TRUE" if session.server_version >= 16 else ""
        todo = f"A DBA runs: {grants} GRANT {QUARANTINE_ROLE} TO {session_role(session)}{option};"
    return session.explained(error, todo=todo)


def session_role(session: Session) -> str:
    """Return the role that acts, quoted."""
    return '"' + str(session.conn.execute("SELECT current_user::text").fetchall()[0][0]).replace('"', '""') + '"'


def _ensure_quarantine(session: Session) -> None:
    if session.ask(has_role(QUARANTINE_ROLE))[0]["found"]:
        return
    version = session.server_version
    own = [] if _acts_as_superuser(session) else [step_into(QUARANTINE_ROLE, version, with_set=True)]
    try:
        session.send([BEGIN, create_quarantine(), *own, COMMIT])
    except psycopg.Error as error:
        session.roll_back()
        if error.sqlstate not in {"42710", "23505"}:
            raise


def _acts_as_superuser(session: Session) -> bool:
    return session.conn.info.parameter_status("is_superuser") == "on"


def _what_is_left(session: Session, role: LoginRole) -> str:
    rows = session.ask(READ_DEPENDENCIES, {"oid": role.oid})
    name = '"' + role.name.replace('"', '""') + '"'
    places = ", ".join(row["database"] or "any database, for shared objects" for row in rows)
    return (
        f"A superuser runs, connected to {places}: REASSIGN OWNED BY {name} TO {QUARANTINE_ROLE};"
        f" DROP OWNED BY {name}; and the portal goes on."
    )


def left_over_notes(session: Session, role_name: str) -> list[str]:
    """Return what a DBA should know: prepared transactions outlive the role, and keep their locks."""
    return [
        f"The prepared transaction {row['gid']!r} in {row['database']} was made by the login: a superuser ends it."
        for row in session.ask(READ_PREPARED, {"role": role_name})
    ]
