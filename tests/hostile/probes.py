"""Tries what an application and people with a grant do, and looks who has a session. Nothing that it does stays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg.pq import TransactionStatus

from tests.hostile.checker import SetRule
from tests.hostile.facts import Fact

APPLICATION = (
    "INSERT INTO app.orders (item) VALUES ('milk'), ('rice')",
    "UPDATE app.orders SET item = item || '!' WHERE id <= 2",
    "SELECT lower(item) FROM app.orders WHERE id = 1",
    "SELECT item || item FROM app.orders WHERE id = 1",
    "SELECT app.number_of_orders() > 0",
    "SELECT count(*) > 0 FROM orders",
    "INSERT INTO app.customers (name) VALUES ('Cid')",
    "UPDATE app.customers SET name = name || '?'",
    "INSERT INTO app.recent (item) VALUES ('seen')",
    "INSERT INTO app.events_2025 VALUES (2, 'c')",
    "INSERT INTO app.measures VALUES (2, '2025-05-05')",
    "INSERT INTO app.tickets (note) VALUES ('help')",
    "INSERT INTO app.lines SELECT max(id), 3 FROM app.orders",
    "DELETE FROM app.orders WHERE id = 1",
    "DELETE FROM app.customers",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "REFRESH MATERIALIZED VIEW app.totals",
    "TRUNCATE app.lines",
    "TRUNCATE app.orders CASCADE",
    "ALTER TABLE app.orders ADD COLUMN price int",
    "ALTER TABLE app.customers ALTER name TYPE text",
    "CREATE INDEX ON app.events_2025 (note)",
    "CREATE TABLE app.probe (id int REFERENCES app.orders)",
    "DROP TABLE app.probe",
    "DROP VIEW app.recent",
    "DROP TABLE app.events_2024",
    "DROP TABLE app.customers",
    "DROP TABLE app.lines, app.orders CASCADE",
    "ALTER SCHEMA app RENAME TO app_two",
)
OUTSIDER = ("SELECT count(*) > 0 FROM app.customers", "SELECT count(*) FROM play.things")
STATEMENTS = {"owner": APPLICATION, "walter": OUTSIDER}
MARKS = "SELECT DISTINCT place, as_user FROM bait.marks"


def try_statements(conn: psycopg.Connection, who: str) -> set[Fact]:
    """Return what comes of the owner's or the outsider's usual statements, and whose code ran as whom.

    Each has a savepoint of one transaction, which is rolled back.
    """
    facts = set()
    conn.execute("SET lock_timeout = '2s'")
    conn.execute("BEGIN")
    for statement in STATEMENTS[who]:
        conn.execute("SAVEPOINT s")
        try:
            cursor = conn.execute(statement)  # type: ignore[arg-type]
            outcome = str(cursor.fetchall()) if statement.startswith("SELECT") else f"{cursor.rowcount} rows"
        except psycopg.Error as error:
            outcome = f"{error.sqlstate} {error.diag.message_primary}"
            conn.execute("ROLLBACK TO s")
        facts.add(Fact("main", "probe", statement, who, outcome, ""))
    facts |= _marks(conn)
    conn.execute("ROLLBACK")
    return facts


def analyze(dba: psycopg.Connection, tables: list[str]) -> set[Fact]:
    """Return whose code runs as whom when a superuser, or autovacuum, looks at tables."""
    dba.execute("BEGIN")
    try:
        for table in tables:
            dba.execute("SAVEPOINT s")
            try:
                dba.execute(f"ANALYZE {table}")  # type: ignore[arg-type]
            except psycopg.Error:
                dba.execute("ROLLBACK TO s")
        return _marks(dba)
    finally:
        dba.execute("ROLLBACK")


def _marks(conn: psycopg.Connection) -> set[Fact]:
    return {Fact("main", "mark", f"code of {place}", user, "", "") for place, user in conn.execute(MARKS).fetchall()}


def look_for_sessions(dba: psycopg.Connection, ended: Mapping[int, str]) -> list[str]:
    """Return the sessions of roles that are over, or gone."""
    rows = dba.execute(
        "SELECT a.pid, a.usesysid::bigint FROM pg_stat_activity a"
        " WHERE a.usesysid IS NOT NULL AND (a.usesysid::bigint = ANY (%s)"
        " OR NOT EXISTS (SELECT FROM pg_authid r WHERE r.oid = a.usesysid))",
        [list(ended)],
    ).fetchall()
    return [f"session: of {ended.get(oid, oid)}, pid {pid}" for pid, oid in rows]


def ask_session(conn: psycopg.Connection, whose: str) -> list[str]:
    """Ask an open session of somebody who stays whether it acts as a role that it may not step into (any more)."""
    if conn.closed or conn.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
        return []
    try:
        (user, session, may) = conn.execute(
            "SELECT current_user::text, session_user::text, current_user = session_user"
            " OR pg_has_role(session_user, current_user, 'MEMBER')"
        ).fetchall()[0]
        problems = [] if may else [f"session: {whose} ({session}) still acts as {user}"]
        if conn.info.transaction_status is TransactionStatus.INTRANS:
            names = [name for (name,) in conn.execute("SELECT name FROM pg_cursors WHERE name ~ '_cursor$'").fetchall()]
            (right,) = conn.execute("SELECT has_table_privilege(session_user, 'app.orders', 'SELECT')").fetchall()[0]
            for name in names if not right else ():
                conn.execute(f"FETCH 1 FROM {name}")
                problems.append(f"session: {whose} reads on through the cursor {name}")
        return problems
    except psycopg.Error as error:
        if conn.closed or error.sqlstate in {"57P01", None}:
            return []
        if error.sqlstate in {"42704", "42P02"}:
            return [f"session: {whose} acts as a role that is gone"]
        with suppress(psycopg.Error):
            conn.execute("ROLLBACK")
        return []


LACKING = """
    SELECT n.nspname::text, c.relname::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname), p.privilege
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_authid o ON o.oid = c.relowner
    CROSS JOIN unnest(%(privileges)s::text[]) p (privilege)
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname = ANY (%(schemas)s)
      AND o.rolname IN ('app_owner', 'other_owner')
      AND NOT (has_schema_privilege(%(login)s::oid, n.oid, 'USAGE')
               AND has_table_privilege(%(login)s::oid, c.oid, p.privilege))
"""


def look_what_lacks(dba: psycopg.Connection, login: int, whose: str, rule: SetRule) -> set[Fact]:
    """Return what a live login of a set cannot do of what the set says."""
    values = {"login": login, "schemas": list(rule.schemas), "privileges": sorted(rule.privileges)}
    return {
        Fact("main", "lack", name, whose, privilege, "")
        for schema, table, name, privilege in dba.execute(LACKING, values).fetchall()
        if rule.has_relation(schema, table)
    }
