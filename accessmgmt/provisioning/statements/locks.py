"""The locks that keep the application's DDL waiting for a moment where it would fail.

All of them are held until the transaction is over, none keeps anybody from reading or writing rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from psycopg import sql

from accessmgmt.provisioning.statements.base import BEGIN, Statement, load, trusted
from accessmgmt.provisioning.statements.ending import SHORT_LOCK_TIMEOUT

TABLES = frozenset({"r", "p"})
CHUNK_SIZE = 200  # objects whose privileges change in one transaction
ADVISORY_KEY = (1_246_319_696, 1)  # "JITP"; one key a database, only ever taken for a transaction
LOCK_DATABASE = Statement(
    "take the portal's lock of this database",
    load("lock_database").format(*map(sql.Literal, ADVISORY_KEY)),
)
BEGIN_BRIEFLY = (BEGIN, SHORT_LOCK_TIMEOUT)
"""Begin to change privileges: the application stands in line behind our wait for a lock, so it is short."""

BEGIN_ALONE = (BEGIN, LOCK_DATABASE, SHORT_LOCK_TIMEOUT)
"""The same, one worker of the portal at a time in each database."""


def lock_relations(names: Sequence[str]) -> list[Statement]:
    """Hold ACCESS SHARE on relations and sequences of any kind, by names that the server quoted.

    To prepare a query locks what it names, reads nothing and asks for no privilege; LOCK TABLE refuses sequences,
    materialized views and foreign tables.
    """
    return [Statement("lock what is named", _do("lock_relations", names))]


def _do(name: str, names: Sequence[str]) -> sql.Composable:
    """Return a DO block over names. The tag of its text is not to be guessed: a name may hold any other."""
    listed = sql.SQL(", ").join(map(sql.Literal, names))
    return load(name).format(names=listed, tag=trusted(f"$t{secrets.token_hex(8)}$"))


def hold_tables(names: Sequence[str]) -> Statement:
    """Keep what needs less than ACCESS EXCLUSIVE on a table waiting too.

    ROW EXCLUSIVE holds up CREATE TRIGGER and FOREIGN KEY, SHARE UPDATE EXCLUSIVE also SET (...). A lock that is not
    free at once, or not ours to take, is left: nothing here waits for a CREATE INDEX or a VACUUM.
    """
    return Statement("hold the tables' definitions", _do("hold_tables", names))


def hold_sequences(names: Sequence[str]) -> Statement:
    """Keep ALTER SEQUENCE waiting: looking at the last value takes ROW EXCLUSIVE. They are locked by name already."""
    listed = sql.SQL(", ").join(map(sql.Literal, names))
    return Statement(
        "hold the sequences' definitions",
        sql.SQL(
            "SELECT pg_sequence_last_value(s.name::regclass) FROM unnest(ARRAY[{}]) s (name)"
            " WHERE has_sequence_privilege(s.name::regclass, 'USAGE')"
        ).format(listed),
    )


def lock_schemas(names: Sequence[str]) -> Statement:
    """Keep DROP SCHEMA waiting. No command does that without writing; resolving an object's address does."""
    listed = sql.SQL(", ").join(map(sql.Literal, names))
    query = "SELECT pg_get_object_address('schema', parse_ident(s.name), '{{}}') FROM unnest(ARRAY[{}]) s (name)"
    return Statement("lock the schemas", sql.SQL(query).format(listed))


def hold(objects: Sequence[tuple[str, str]]) -> list[Statement]:
    """Return the statements that keep DDL on relations and sequences, as pairs of name and relkind, waiting."""
    statements = lock_relations([name for name, _ in objects])
    if tables := [name for name, kind in objects if kind in TABLES]:
        statements.append(hold_tables(tables))
    if sequences := [name for name, kind in objects if kind == "S"]:
        statements.append(hold_sequences(sequences))
    return statements
