"""Reads what the portal tells a DBA to run, from the words alone, and runs it as the person that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg

from devstack.postgres import PostgresServer
from tests.hostile.ground import HELPER

HEADING = re.compile(
    r"(?:A|a) (?P<who>DBA|superuser)(?: or a member of pg_signal_backend|,)? runs"
    r"(?:, connected to (?P<where>[^:;]+))?:|"
    r"(?:The|the) owner of (?P<what>[^:;]+?) runs(?:, connected to (?P<place>[^:;]+))?:"
)
STATEMENT = re.compile(r"\s*((?:\$\$.*?\$\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[^;'\"$])+);", re.S)
PATIENCE = "-c lock_timeout=2s -c statement_timeout=5s -c default_transaction_read_only=off"
"""Who made a database read-only by default writes there by saying so."""
SQL = re.compile(r"(ALTER|GRANT|REVOKE|CREATE|DROP|REASSIGN|ROLLBACK|COMMIT|COMMENT|SET|RESET|DO|SELECT|TRUNCATE)\b")


@dataclass(frozen=True, slots=True)
class Told:
    """Statements for one pair of hands. `places` are databases, none for any."""

    who: str
    places: tuple[str, ...]
    statements: tuple[str, ...]


def read_advice(text: str) -> list[Told]:
    """Find what is to be run in a text for people."""
    headings = list(HEADING.finditer(text))
    told = []
    for number, heading in enumerate(headings):
        end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
        statements, at = [], heading.end()
        while (found := STATEMENT.match(text, at, end)) and SQL.match(found[1].strip()):
            statements.append(found[1].strip())
            at = found.end()
        where = heading["where"] or heading["place"] or ""
        places = tuple(
            name.strip()
            for name in where.split(",")
            if name.strip() and "any database" not in name and "shared" not in name
        )
        told.append(Told(heading["who"] or "owner", places, tuple(statements)))
    return told


def follow(server: PostgresServer, text: str, database: str) -> list[str]:
    """Run what a text says, where it says and as whom it says; return what the server refused."""
    refused = []
    for told in read_advice(text):
        user = {"DBA": HELPER, "superuser": "postgres", "owner": "postgres"}[told.who]
        for place in told.places or (database,):
            try:
                conn = server.connect(place, user, options=PATIENCE)
            except psycopg.OperationalError as error:
                refused.append(f"advice: {told.who} cannot connect to {place}: {error}".strip())
                continue
            with conn:
                for statement in told.statements:
                    try:
                        conn.execute(statement)  # type: ignore[arg-type]
                    except psycopg.Error as error:
                        words = f"{error.sqlstate} {error.diag.message_primary}"
                        refused.append(f"advice: {told.who} in {place}: {statement}: {words}")
    return refused
