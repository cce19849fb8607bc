"""Fixtures with real servers, started on first use, one set a test process, gone at its end unless they are kept.

    from devstack.pytest_servers import *  # in a conftest.py

`ensure_portal_database()` is for the settings of the tests, which are read before there is any fixture.
"""

import atexit
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from devstack.certs import CertificateAuthority
from devstack.kept_servers import kept_place
from devstack.portal_database import create_portal_database
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from devstack.stack_state import write_private
from devstack.workspace import make_workspace

__all__ = [
    "certificate_authority",
    "ensure_portal_database",
    "portal_postgres",
    "redis_server",
    "servers_directory",
    "target_server",
]

PORTAL_VERSION = 18


@cache
def _workspace() -> Path:
    return make_workspace("tests")


def _servers_folder() -> Path:
    return kept_place() or _workspace()


@cache
def portal_server() -> PostgresServer:
    """Return the running server for Django's own test database; it stops at exit, unless it is kept."""
    is_kept = kept_place() is not None
    server = PostgresServer(PORTAL_VERSION, _servers_folder() / "portal", durable=False, outlives=is_kept)
    if not is_kept:
        atexit.register(server.destroy)
    return server.start()


@cache
def ensure_portal_database() -> str:
    """Return the DATABASE_URL of the portal's database, starting its server on the first call."""
    return create_portal_database(portal_server(), password="portal")  # noqa: S106


@pytest.fixture(scope="session")
def servers_directory() -> Path:
    """A folder for servers that a test makes itself; a test stops what it started."""
    return _workspace()


@pytest.fixture(scope="session")
def portal_postgres() -> PostgresServer:
    """The server of Django's own test database."""
    ensure_portal_database()
    return portal_server()


@pytest.fixture(scope="session")
def certificate_authority() -> CertificateAuthority:
    """The authority that signed the certificates of `target_server`; kept servers keep it."""
    place = kept_place()
    if place is None:
        return CertificateAuthority("Test authority")
    kept = place / "authority.json"
    if not kept.exists():
        authority = CertificateAuthority("Test authority")
        write_private(kept, json.dumps({"pem": authority.pem, "key_pem": authority.key_pem}))
    return CertificateAuthority(**json.loads(kept.read_text()))


@pytest.fixture(scope="session")
def target_server(certificate_authority: CertificateAuthority) -> Iterator[Callable[[int], PostgresServer]]:
    """Return a function from a major version to a running server of it, with TLS; the same one in the whole session.

    A test makes databases and roles of its own in it. One that stops a server makes its own server.
    """
    servers: dict[int, PostgresServer] = {}
    is_kept = kept_place() is not None

    def server_of(version: int) -> PostgresServer:
        if version not in servers:
            servers[version] = PostgresServer(
                version,
                _servers_folder() / f"target-{version}",
                tls=certificate_authority.server(),
                settings={"shared_preload_libraries": "pg_stat_statements"},
                durable=False,
                outlives=is_kept,
            )
            if is_kept:
                _empty(servers[version].start())
        return servers[version].start()

    yield server_of
    if not is_kept:
        for server in servers.values():
            server.destroy()


def _empty(server: PostgresServer) -> None:
    """Bring a kept server back to what a new one is; make it new when something in it resists."""
    try:
        drop_everything(server)
    except psycopg.Error:
        server.destroy()
        server.start()


def drop_everything(server: PostgresServer) -> None:
    """Drop all databases, roles and settings that a new server has not. Raises psycopg.Error."""
    with server.connect() as dba:
        slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
        dba.execute(slots)
        databases = dba.execute("SELECT datname FROM pg_database WHERE oid >= 16384").fetchall()
        for (name,) in databases:
            dba.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        roles = [sql.Identifier(name) for (name,) in dba.execute("SELECT rolname FROM pg_roles WHERE oid >= 16384")]
        if roles:
            names = sql.SQL(", ").join(roles)
            dba.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(names))
            dba.execute(sql.SQL("DROP ROLE {}").format(names))
        dba.execute("ALTER SYSTEM RESET ALL")
        dba.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis, empty at the start of the session."""
    is_kept = kept_place() is not None
    server = RedisServer(_servers_folder() / "redis-of-tests", outlives=is_kept).start()
    server.flush()
    yield server
    if not is_kept:
        server.stop()
