"""Real servers with the portal's set-up: a database of shop tables, an owner, an outsider, both kinds of admin."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.admin import close_pools
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.recipe import prepare_database, prepare_target
from tests.orders import make_order

INSTALLATION = Installation("test-installation", "tag-key-of-the-tests")
ADMIN_PASSWORD = "admin-pa55word"
SHOP = """
CREATE SCHEMA app;
CREATE TABLE app.orders (id serial PRIMARY KEY, item text);
CREATE TABLE app.customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
CREATE TABLE app.events_2024 (id int);
CREATE TABLE app.events_2025 (id int);
CREATE TABLE app."eventsX" (id int);
CREATE VIEW app.recent AS SELECT * FROM app.orders;
CREATE MATERIALIZED VIEW app.totals AS SELECT count(*) AS n FROM app.orders;
CREATE TABLE app.measures (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE app.measures_1 PARTITION OF app.measures FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE SEQUENCE app.free_numbers;
CREATE TABLE app.tickets (id bigint DEFAULT nextval('app.free_numbers'), note text);
CREATE SCHEMA secret;
CREATE TABLE secret.salaries (id int, amount int);
INSERT INTO app.orders (item) VALUES ('tea');
"""


def permissions(grants: str = "SELECT", schemas: str = "app", tables: str = "*") -> PermissionSet:
    """Make a permission set from words with commas."""
    return parse_permissions({"grants": grants.split(","), "schemas": schemas.split(","), "tables": tables.split(",")})


def new_installation() -> Installation:
    """Make an installation that shares no role with another test."""
    return Installation(f"inst-{secrets.token_hex(4)}", secrets.token_hex(16))


def new_order(wanted: PermissionSet | None = None, *, ttl_seconds: int = 3_600, who: str = "alice") -> GrantOrder:
    """Make an order for a fresh login role."""
    return make_order(INSTALLATION, wanted or permissions(), ttl_seconds=ttl_seconds, who=who)


@dataclass(frozen=True)
class Shop:
    """A database on a server, and the admin credential that the portal has there."""

    server: PostgresServer
    database: str
    target: Target

    def log_in(self, order: GrantOrder, **options: str) -> psycopg.Connection:
        """Log in as the order's login role, like its user does."""
        return self.server.connect(self.database, order.login.role_name, order.password, **options)

    def as_dba(self, database: str = "") -> psycopg.Connection:
        """Connect as the superuser."""
        return self.server.connect(database or self.database)

    def roles(self, order: GrantOrder) -> int:
        """Count the roles of this order's name."""
        with self.as_dba() as conn:
            row = conn.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [order.login.role_name]).fetchone()
        assert row is not None
        return int(row[0])


def make_shop(
    server: PostgresServer, authority: CertificateAuthority, *, is_superuser: bool, tables: str = SHOP
) -> Shop:
    """Create a database of its own with the shop's tables, and give the portal a way in."""
    name = f"shop_{secrets.token_hex(4)}"
    owner = f"{name}_owner"
    with server.connect() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
        login = f"jit_login_{secrets.token_hex(3)}"
        prepare_target(conn, login=login, password=ADMIN_PASSWORD, databases=[name], owners=[owner])
    with server.connect(name) as conn:
        prepare_database(conn)
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
        conn.execute(tables)  # type: ignore[arg-type]
    return Shop(server, name, target_of(server, authority, name, None if is_superuser else login))


def target_of(
    server: PostgresServer, authority: CertificateAuthority, database: str, login: str | None = None
) -> Target:
    """Describe a test server as the portal does."""
    return Target(
        resource_id=1,
        name="shop",
        host="localhost",
        port=server.port,
        database_name=database,
        username=login or "postgres",
        password=ADMIN_PASSWORD if login else server.password,
        ssl_mode=SslMode.VERIFY_FULL if server.tls else None,
        tls_root_cert=authority.pem if server.tls else "",
    )


def renamed(target: Target, name: str) -> Target:
    """Return the target under another name, which has a pool of its own."""
    return replace(target, name=name)


@pytest.fixture(autouse=True)
def _no_pools_left() -> Iterator[None]:
    yield
    close_pools()


@pytest.fixture(scope="session")
def shops(
    target_server: Callable[[int], PostgresServer], certificate_authority: CertificateAuthority
) -> Callable[[int, bool], Shop]:
    """Return a function from version and kind of admin to a shop, the same one in the whole session."""
    made: dict[tuple[int, bool], Shop] = {}

    def shop_of(version: int, is_superuser: bool) -> Shop:
        key = (version, is_superuser)
        if key not in made:
            made[key] = make_shop(target_server(version), certificate_authority, is_superuser=is_superuser)
        return made[key]

    return shop_of


@pytest.fixture
def shop(shops: Callable[[int, bool], Shop]) -> Shop:
    """A shop on PostgreSQL 18 with the set-up's admin role."""
    return shops(18, False)


@pytest.fixture
def new_shop(
    target_server: Callable[[int], PostgresServer], certificate_authority: CertificateAuthority
) -> Callable[..., Shop]:
    """Return a function that makes a shop of the test's own."""

    def make(version: int = 18, *, is_superuser: bool = False, tables: str = SHOP) -> Shop:
        return make_shop(target_server(version), certificate_authority, is_superuser=is_superuser, tables=tables)

    return make


@pytest.fixture
def own_server(
    servers_directory: Path, certificate_authority: CertificateAuthority
) -> Iterator[Callable[..., PostgresServer]]:
    """Return a function that starts a server of the test's own, with settings of its own, to be stopped and filled."""
    made: list[PostgresServer] = []

    def start(version: int = 18, **settings: str | int) -> PostgresServer:
        folder = servers_directory / f"own-{secrets.token_hex(4)}"
        tls = certificate_authority.server()
        made.append(PostgresServer(version, folder, tls=tls, settings=settings, durable=False).start())
        return made[-1]

    yield start
    close_pools()
    for server in made:
        server.destroy()


@pytest.fixture
def own_standby(
    own_server: Callable[..., PostgresServer], servers_directory: Path, certificate_authority: CertificateAuthority
) -> Iterator[Callable[..., PostgresServer]]:
    """Return a function that starts a streaming standby of an `own_server`."""
    made: list[PostgresServer] = []

    def start(primary: PostgresServer, **settings: str | int) -> PostgresServer:
        folder = servers_directory / f"own-standby-{secrets.token_hex(4)}"
        tls = certificate_authority.server()
        made.append(primary.create_standby(folder, tls=tls, settings=settings).start())
        return made[-1]

    yield start
    close_pools()
    for server in made:
        server.destroy()


@pytest.fixture
def shop_on(certificate_authority: CertificateAuthority) -> Callable[..., Shop]:
    """Return a function that makes a shop on a server."""

    def make(server: PostgresServer, *, is_superuser: bool = False, tables: str = SHOP) -> Shop:
        return make_shop(server, certificate_authority, is_superuser=is_superuser, tables=tables)

    return make
