"""A database to be shared, made on a real server with the minimal admin role."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from accessmgmt.provisioning.session import conversation
from devstack.postgres import PostgresServer
from devstack.recipe import prepare_database, prepare_target

OWNER = "app_owner"
TABLES = ("customers", "orders")
ADMIN_PASSWORD = "the-portals-own-password-1"


def make_target(server: PostgresServer, *, connection_limit: int = 100) -> dict[str, Any]:
    """Make a database with two tables in public and one in secret; return the fields of a Resource for it."""
    name = f"shop_{secrets.token_hex(4)}"
    with server.connect() as conn:
        if conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone() is None:
            conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(OWNER)))
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER)))
    with server.connect(name) as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
        conn.execute("CREATE SCHEMA secret")
        for table in (*TABLES, "secret.payroll"):
            columns = sql.SQL("CREATE TABLE {} (id serial PRIMARY KEY, note text)")
            conn.execute(columns.format(sql.Identifier(*table.split("."))))
        conn.execute("INSERT INTO customers (note) SELECT 'customer ' || n FROM generate_series(1, 10) n")
        conn.execute("RESET ROLE")
        prepare_target(
            conn,
            password=ADMIN_PASSWORD,
            databases=[name],
            owners=[OWNER],
            connection_limit=connection_limit,
        )
        prepare_database(conn)
    return {
        "host": "localhost",
        "port": server.port,
        "database_name": name,
        "username": "jit_login_a",
        "password": ADMIN_PASSWORD,
        "ssl_mode": "verify-full",
        "tls_root_cert": server.tls.ca_pem if server.tls else "",
    }


def portal_roles(server: PostgresServer) -> set[str]:
    """Return every role on the server that carries a grant's tag of any portal, or has the shape of a login role."""
    query = """
        SELECT rolname FROM pg_roles r
        WHERE shobj_description(r.oid, 'pg_authid') LIKE 'access-portal:%:grant:%' OR rolname ~ '^jit_.*_[a-z0-9]{10}$'
    """
    with server.connect() as conn:
        return {name for (name,) in conn.execute(query).fetchall()}


@contextmanager
def slow_to_end(pid: int) -> Iterator[None]:
    """Stop a server process until it was told to end and is looked for again; whoever looks once finds it alive."""
    looks = 0

    def count(description: str) -> None:
        nonlocal looks
        if description == "terminate its sessions":
            looks += 1
            if looks == 2:
                os.kill(pid, signal.SIGCONT)

    os.kill(pid, signal.SIGSTOP)
    conversation.before_statement = count
    try:
        yield
        assert looks >= 2, "nobody looked whether it has gone"
    finally:
        conversation.before_statement = None
        if looks < 2:
            os.kill(pid, signal.SIGCONT)


def log_in(resource: dict[str, Any], role: str, password: str) -> psycopg.Connection:
    """Connect to a target as a person would, with full verification of its certificate by the system's rules."""
    return psycopg.connect(
        host=resource["host"],
        port=resource["port"],
        dbname=resource["database_name"],
        user=role,
        password=password,
        sslmode="require",
        connect_timeout=30,
        autocommit=True,
    )
