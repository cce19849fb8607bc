"""A copy of the tests' database as the migrations make it: each run on kept servers begins with it, not with migrating.

The copy's name holds what it was made from, so that one of other migrations is never taken.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from psycopg import sql

from devstack.postgres import PostgresServer

_PREFIX = "migrated_"


def restore_database(server: PostgresServer, name: str, made_from: Sequence[Path]) -> bool:
    """Drop the database and make it anew from its copy; False when there is no copy: then it has to be migrated."""
    with server.connect() as dba:
        kept = dba.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_PREFIX]).fetchall()
        outdated = {copy for (copy,) in kept} - {_copy_name(made_from)}
        for old in (name, *outdated):
            dba.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))
        if len(kept) == len(outdated):
            return False
    _copy(server, _copy_name(made_from), name)
    return True


def keep_database(server: PostgresServer, name: str, made_from: Sequence[Path]) -> None:
    """Keep a copy of the database, to which nobody may be connected."""
    _copy(server, name, _copy_name(made_from))


def _copy(server: PostgresServer, source: str, target: str) -> None:
    query = """
        SELECT rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE datname = %s
    """
    names = {"source": sql.Identifier(source), "target": sql.Identifier(target)}
    with server.connect() as dba:
        owner = dba.execute(query, [source]).fetchall()[0][0]
        text = sql.SQL("CREATE DATABASE {target} TEMPLATE {source} STRATEGY file_copy OWNER {owner}")
        dba.execute(text.format(owner=sql.Identifier(owner), **names))


def _copy_name(made_from: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in made_from:
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return f"{_PREFIX}{digest.hexdigest()[:16]}"
