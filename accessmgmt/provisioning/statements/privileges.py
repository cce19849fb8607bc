"""The statements that give privileges to a capability role, and take them away."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from accessmgmt.domain.permissions import Privilege
from accessmgmt.provisioning.statements.base import Statement, trusted

PRIVILEGE_LETTERS = {
    Privilege.SELECT: "r",
    Privilege.INSERT: "a",
    Privilege.UPDATE: "w",
    Privilege.DELETE: "d",
    Privilege.TRUNCATE: "D",
    Privilege.REFERENCES: "x",
    Privilege.TRIGGER: "t",
    Privilege.MAINTAIN: "m",
}


def grant_tables(privileges: Sequence[str], names: Sequence[str], role: str) -> Statement:
    """Give table privileges, relations listed."""
    return Statement(
        "grant on the chunk's tables",
        sql.SQL("GRANT {} ON TABLE {} TO {}").format(
            trusted(", ".join(privileges)), trusted(", ".join(names)), sql.Identifier(role)
        ),
    )


def revoke_tables(names: Sequence[str], role: str) -> Statement:
    """Take everything on relations away, and what was passed on of it (without CASCADE the server refuses then).

    A table-level REVOKE takes column privileges too.
    """
    return Statement(
        "revoke what is too much on tables",
        sql.SQL("REVOKE ALL ON TABLE {} FROM {} CASCADE").format(trusted(", ".join(names)), sql.Identifier(role)),
    )


def grant_on(kind: str, privileges: Sequence[str], names: Sequence[str], role: str) -> Statement:
    """Give privileges on sequences, schemas or a database (`kind` in SQL's words)."""
    return Statement(
        f"grant on {kind.lower()}",
        sql.SQL("GRANT {} ON {} {} TO {}").format(
            trusted(", ".join(privileges)), trusted(kind), trusted(", ".join(names)), sql.Identifier(role)
        ),
    )


def revoke_on(kind: str, names: Sequence[str], role: str) -> Statement:
    """Take everything on sequences or schemas away, and what was passed on of it."""
    return Statement(
        f"revoke what is too much on {kind.lower()}",
        sql.SQL("REVOKE ALL ON {} {} FROM {} CASCADE").format(
            trusted(kind), trusted(", ".join(names)), sql.Identifier(role)
        ),
    )


def revoke_beside_connect(database: str, role: str) -> list[Statement]:
    """Take everything on a database away but CONNECT; its name is quoted by the server."""
    return [
        Statement(
            "revoke what is too much on another database",
            sql.SQL("REVOKE {} ON DATABASE {} FROM {} CASCADE").format(
                trusted(words), trusted(database), sql.Identifier(role)
            ),
        )
        for words in ("CREATE, TEMPORARY", "GRANT OPTION FOR CONNECT")
    ]


FUTURE_WORDS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "ROUTINES",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",  # from 18 on
}
"""pg_default_acl.defaclobjtype in the words of ALTER DEFAULT PRIVILEGES."""


def _of_future(owner: str, schema: str, words: sql.Composable) -> sql.Composable:
    within = sql.SQL(" IN SCHEMA {}").format(trusted(schema)) if schema else sql.SQL("")
    return sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} {}").format(sql.Identifier(owner), within, words)


def grant_future(owner: str, schema: str, kind: str, privileges: Sequence[str], role: str) -> Statement:
    """Give privileges on what an owner will create in a schema; `schema` is quoted by the server, `kind` r or S."""
    given = sql.SQL("GRANT {} ON {} TO {}").format(
        trusted(", ".join(privileges)), trusted(FUTURE_WORDS[kind]), sql.Identifier(role)
    )
    return Statement("grant on future objects", _of_future(owner, schema, given))


def revoke_future(owner: str, schema: str, kind: str, role: str) -> Statement:
    """Take everything away on what an owner will create in a schema, or anywhere (`schema` "")."""
    taken = sql.SQL("REVOKE ALL ON {} FROM {} CASCADE").format(trusted(FUTURE_WORDS[kind]), sql.Identifier(role))
    return Statement("revoke what is too much on future objects", _of_future(owner, schema, taken))
