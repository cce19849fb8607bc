"""What is true of a server, as rows that can be compared: roles, rights, owners, code, settings. SQL of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psycopg

HERE = Path(__file__).parent
SHARED = (HERE / "shared_facts.sql").read_text()
SHARED_SINCE_15 = (HERE / "shared_facts_15.sql").read_text()
LOCAL = (HERE / "facts.sql").read_text()


class Fact(NamedTuple):
    """One row of facts.sql or shared_facts.sql. `place` is the database, "" for what belongs to the server.

    The application's database is called "main" whatever its name.
    """

    place: str
    kind: str
    thing: str
    who: str
    what: str
    by: str

    def __str__(self) -> str:
        words = f"{self.kind}: {self.thing}, {self.who or '-'}, {self.what or '-'}"
        return f"{self.place or 'server'} {words}{f', by {self.by}' if self.by else ''}"

    @property
    def is_temporary(self) -> bool:
        """Whether it is about something that goes with its session."""
        return "pg_temp" in self.thing or "pg_toast_temp" in self.thing


def read_facts(main: psycopg.Connection, *others: psycopg.Connection) -> frozenset[Fact]:
    """Read all facts of the server, of the application's database and of others that superusers are connected to."""
    name = main.execute("SELECT current_database()::text").fetchall()[0][0]
    shared = SHARED + (SHARED_SINCE_15 if main.info.server_version >= 150000 else "")
    facts = [Fact("", *map(str, row)) for row in main.execute(shared).fetchall()]  # type: ignore[arg-type]
    facts = [
        fact._replace(
            thing="main" if fact.thing == name else fact.thing.replace(f"database {name}", "database main"),
            what="main" if fact.kind == "prepared" and fact.what == name else fact.what,
        )
        for fact in facts
    ]
    for place, conn in (("main", main), *((conn.info.dbname, conn) for conn in others)):
        facts += [Fact(place, *map(str, row)) for row in conn.execute(LOCAL).fetchall()]  # type: ignore[arg-type]
    return frozenset(fact for fact in facts if not fact.is_temporary)
