"""Fixtures with real servers, started on first use, one set a test process, gone at its end.

    from devstack.pytest_servers import *  # in a conftest.py

`ensure_portal_database()` is for the settings of the tests, which are read before there is any fixture.
"""

import atexit
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from devstack.certs import CertificateAuthority
from devstack.portal_database import create_portal_database
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
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


@cache
def portal_server() -> PostgresServer:
    """Return the running server for Django's own test database; it stops at exit."""
    server = PostgresServer(PORTAL_VERSION, _workspace() / "portal", durable=False)
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
    """The authority that signed the certificates of `target_server`."""
    return CertificateAuthority("Test authority")


@pytest.fixture(scope="session")
def target_server(certificate_authority: CertificateAuthority) -> Iterator[Callable[[int], PostgresServer]]:
    """Return a function from a major version to a running server of it, with TLS; the same one in the whole session.

    A test makes databases and roles of its own in it. One that stops a server makes its own server.
    """
    servers: dict[int, PostgresServer] = {}

    def server_of(version: int) -> PostgresServer:
        if version not in servers:
            servers[version] = PostgresServer(
                version,
                _workspace() / f"target-{version}",
                tls=certificate_authority.server(),
                settings={"shared_preload_libraries": "pg_stat_statements"},
                durable=False,
            )
        return servers[version].start()

    yield server_of
    for server in servers.values():
        server.destroy()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis, empty at the start of the session."""
    server = RedisServer(_workspace() / "redis").start()
    yield server
    server.stop()
