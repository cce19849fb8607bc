"""A statement as data: a description and a composed query.

Longer queries lie in `queries/`. Identifiers go through sql.Identifier, values through parameters or sql.Literal; names
that the server itself quoted (quote_ident of schema and relation) are inserted as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from psycopg import sql

SQL_FOLDER = Path(__file__).parent / "queries"
ADMIN_ROLE = "jit_portal"
QUARANTINE_ROLE = "jit_quarantine"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `is_secret` keeps the server's words about it out of messages (it holds a verifier).

    `is_bracket` is one that only says how the others are run: a message is not named after it.
    """

    description: str
    query: sql.Composable
    is_secret: bool = False
    is_bracket: bool = False


def trusted(text: str) -> sql.SQL:
    """Take text as SQL: only what this package holds, or what the server itself quoted."""
    return sql.SQL(text)


def load_text(name: str) -> str:
    """Read queries/<name>.sql."""
    return (SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


@cache
def load(name: str) -> sql.SQL:
    """Read queries/<name>.sql as SQL."""
    return trusted(load_text(name))


BEGIN = Statement("begin", sql.SQL("BEGIN"), is_bracket=True)
COMMIT = Statement("commit", sql.SQL("COMMIT"), is_bracket=True)
ROLLBACK = Statement("roll back", sql.SQL("ROLLBACK"), is_bracket=True)
COMMIT_WITHOUT_WAITING = Statement(
    "leave the disk to a later commit", sql.SQL("SET LOCAL synchronous_commit = off"), is_bracket=True
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A query that each admin connection plans once: planning takes longer than running it.

    It is prepared in SQL, under our own name: psycopg forgets its prepared statements at every DROP.
    `types` maps the parameters of the text, in order, to PostgreSQL types.
    """

    name: str
    description: str
    text: str
    types: dict[str, str]

    def prepare(self) -> Statement:
        """Plan it on this connection."""
        numbered = self.text
        for number, parameter in enumerate(self.types, start=1):
            numbered = numbered.replace(f"%({parameter})s", f"${number}")
        types = f"({', '.join(self.types.values())})" if self.types else ""
        head = sql.SQL("PREPARE {} {} AS ").format(sql.Identifier(self.name), trusted(types))
        return Statement(f"prepare to {self.description}", head + trusted(numbered))

    def execute(self, values: Mapping[str, object]) -> Statement:
        """Run it with these values."""
        listed = sql.SQL(", ").join(sql.Literal(values[parameter]) for parameter in self.types)
        given = sql.SQL("({})").format(listed) if self.types else sql.SQL("")
        return Statement(self.description, sql.SQL("EXECUTE {} {}").format(sql.Identifier(self.name), given))


GUARD_SQLSTATE = "22012"
