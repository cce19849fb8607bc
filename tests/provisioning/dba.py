"""Does what a message tells a person to do, as the person that it names, and nothing else.

A DBA is what a managed service gives to its customers: CREATEROLE without SUPERUSER, ADMIN on the roles that the set-up
made, on the owners of the tables and on the two predefined roles that the set-up passes on, and nothing more.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from tests.provisioning.conftest import Shop

HEADING = re.compile(
    r"(?P<who>A DBA|A superuser or a member of pg_signal_backend|A superuser|Who gave it, or a superuser,"
    r"|Who made these roles, or a superuser,|The owner of (?P<owned>[^:]*?)|Who keeps the server)"
    r"(?: runs(?:, connected to (?P<database>[^:]*))?| writes this above [^:]*):[ \n]"
)
GRANTOR = re.compile(r'(?:GRANTED BY|SET ROLE) "((?:[^"]|"")+)"')
PASSWORD = "dba-pa55word"
MADE_BY_AN_ADMINISTRATOR = """
    SELECT rolname::text FROM pg_roles
    WHERE NOT rolsuper
      AND (rolname IN ('jit_portal', 'jit_quarantine', 'pg_signal_backend', 'pg_monitor', %(login)s)
           OR (rolname !~ '^(pg_|dba_)' AND strpos(%(text)s, format('"%%s"', replace(rolname, '"', '""'))) > 0
               AND coalesce(shobj_description(oid, 'pg_authid'), '') NOT LIKE 'access-portal:%%'))
"""
"""The roles that are named and not the portal's own: those are jit_portal's."""

OWNERS = {
    "database": "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = %s",
    "schema": "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE quote_ident(nspname) = %s",
    "routine": "SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE oid = %s::regprocedure",
    "table": "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = %s::regclass",
    "event trigger": "SELECT pg_get_userbyid(evtowner)::text FROM pg_event_trigger WHERE evtname = %s",
}


@dataclass(frozen=True)
class Task:
    """Statements, or lines of pg_hba.conf, and who has to see to them where."""

    who: str
    owned: str
    database: str
    text: str


def tasks_in(text: str) -> list[Task]:
    """Return what a message, or the SQL of a rung, tells people to do; fails when it tells nobody anything."""
    found = list(HEADING.finditer(text))
    if not found:
        assert text.rstrip().endswith(";"), f"nothing to run in: {text}"
        return [Task("A DBA", "", "", text)]
    ends = [match.start() for match in found[1:]] + [len(text)]
    tasks = []
    if before := text[: found[0].start()].rpartition(";")[0]:
        tasks.append(Task("A DBA", "", "", f"{before};"))
    for match, end in zip(found, ends, strict=True):
        part = text[match.end() : end]
        done = part if match["who"] == "Who keeps the server" else part[: part.rindex(";") + 1]
        tasks.append(Task(match["who"], match["owned"] or "", match["database"] or "", done))
    return tasks


def sql_in(text: str) -> str:
    """Return the statements that a message shows, in order; fails when it shows none."""
    texts = [task.text for task in tasks_in(text) if task.who != "Who keeps the server"]
    return " ".join(f"{statement};" for part in texts for statement in statements_of(part))


def statements_of(text: str) -> list[str]:
    """Return the statements one by one, as psql sends what is pasted into it."""
    parts = re.split(r"(\$\$.*?\$\$|;(?=\s|$))", text, flags=re.DOTALL)
    statements = [""]
    for part in parts:
        if part == ";":
            statements.append("")
        else:
            statements[-1] += part
    return [statement.strip() for statement in statements if statement.strip()]


def do_as_told(shop: Shop, text: str, *, password: str = "") -> None:
    """Do all of it. `password` stands for <password>."""
    for task in tasks_in(text):
        if task.who == "Who keeps the server":
            server = shop.server
            server.hba = [task.text.strip(), *(server.hba or server._default_hba())]
            server.reload()
            continue
        for place in task.database.split(" and to ") if task.database else [shop.database]:
            database = "postgres" if place.startswith(("another", "any")) else place
            with _person(shop, task, database) as conn:
                for statement in statements_of(task.text):
                    conn.execute(statement.replace("<password>", password))  # type: ignore[call-overload]


@contextmanager
def _person(shop: Shop, task: Task, database: str) -> Iterator[psycopg.Connection]:
    if task.who in {"A DBA", "A superuser or a member of pg_signal_backend"}:
        with managed_dba(shop, task.text, database, may_signal=task.who != "A DBA") as conn:
            yield conn
        return
    with shop.as_dba(database) as conn:
        name = _owner(conn, task.owned) if task.owned else ""
        if task.who == "Who gave it, or a superuser,":
            found = GRANTOR.search(task.text)
            name = found[1].replace('""', '"') if found else ""
        if name:
            conn.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(name)))
        yield conn


def _owner(conn: psycopg.Connection, owned: str) -> str:
    """Return who owns a thing, which the message may say in brackets."""
    if owned.endswith(")") and " (" in owned:
        return owned[owned.rindex(" (") + 2 : -1]
    kind, _, name = owned.removeprefix("the ").partition(" ")
    [(owner,)] = conn.execute(OWNERS[kind], [name]).fetchall()  # type: ignore[call-overload]
    return str(owner)


@contextmanager
def managed_dba(shop: Shop, text: str, database: str = "", *, may_signal: bool = False) -> Iterator[psycopg.Connection]:
    """Connect as the administrator of a managed service, made for this.

    It stays behind, because what it grants counts as long as it is there.
    """
    name = f"dba_{secrets.token_hex(4)}"
    role = sql.Identifier(name)
    with shop.as_dba() as conn:
        conn.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(role, sql.Literal(PASSWORD))
        )
        if shop.server.version >= 16:
            rows = conn.execute(MADE_BY_AN_ADMINISTRATOR, {"text": text, "login": shop.target.username}).fetchall()
            roles = sql.SQL(", ").join(sql.Identifier(name) for (name,) in rows)
            conn.execute(sql.SQL("GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE").format(roles, role))
        inherit = sql.SQL(" WITH INHERIT TRUE" if shop.server.version >= 16 else "")
        if may_signal:
            conn.execute(sql.SQL("GRANT pg_signal_backend TO {}{}").format(role, inherit))
    with shop.server.connect(database or shop.database, name, PASSWORD) as conn:
        yield conn
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
