"""The engine's share: applying a grant against the bare minimum that a DBA would type."""

from __future__ import annotations

import secrets
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql

from accessmgmt.domain.names import Installation, new_login_role_name
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.certs import CertificateAuthority
from devstack.paths import ROOT
from devstack.postgres import PostgresServer
from tests.orders import make_order, to_end
from tests.targets import make_target

BENCH = ROOT / ".bench"  # on disk: in memory a commit would cost nothing
ROUNDS = 60
WARM_UP = 5
INSTALLATION = Installation("bench", "tag-key-of-the-bench")
PERMISSIONS = parse_permissions({"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]})


def measure() -> dict[str, float]:
    """Return milliseconds and their ratio; both ways alternate, on one durable PostgreSQL 18 with TLS."""
    with durable_target() as target:
        engine_ms, bare_ms = [], []
        with by_hand(target) as conn:
            for number in range(WARM_UP + ROUNDS):
                engine = apply_by_engine(target)
                bare = apply_by_hand(conn, target)
                if number >= WARM_UP:
                    engine_ms.append(engine)
                    bare_ms.append(bare)
        close_pools()
    engine, bare = statistics.median(engine_ms), statistics.median(bare_ms)
    return {"apply_engine_ms_p50": engine, "apply_bare_sql_ms_p50": bare, "apply_vs_bare_sql_ratio": engine / bare}


@contextmanager
def durable_server(
    folder: str, version: int = 18, settings: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """Run a PostgreSQL with fsync on and TLS, in a folder that is removed afterwards."""
    directory = BENCH / folder
    shutil.rmtree(directory, ignore_errors=True)
    tls = CertificateAuthority("Bench authority").server()
    server = PostgresServer(version, directory, tls=tls, settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def durable_target() -> Iterator[Target]:
    """Run a PostgreSQL 18 with fsync on, TLS, the minimal admin role and two tables."""
    with durable_server("target") as server:
        fields = make_target(server)
        (BENCH / "ca.pem").write_text(fields["tls_root_cert"])
        yield Target(resource_id=1, name="bench", **{**fields, "ssl_mode": SslMode(fields["ssl_mode"])})


def new_order(permissions: PermissionSet = PERMISSIONS) -> GrantOrder:
    """Return the order of one more grant."""
    return make_order(INSTALLATION, permissions, who="bench")


def apply_by_engine(target: Target) -> float:
    """Return the milliseconds of everything the engine does until a grant is active, its own sign-in check included."""
    order = new_order()
    began = time.perf_counter()
    apply_grant(target, order)
    elapsed = time.perf_counter() - began
    end_grant(target, to_end(order))
    return elapsed * 1000


@contextmanager
def by_hand(target: Target) -> Iterator[psycopg.Connection]:
    """Open the connection that a DBA would keep open, stepped into the admin role."""
    with connect(target, target.username, target.password) as conn:
        conn.execute("SET ROLE jit_portal")
        yield conn


def apply_by_hand(conn: psycopg.Connection, target: Target) -> float:
    """Return the milliseconds of create, comment, alter, grant, commit, and one sign-in as the role."""
    name, password = new_login_role_name("hand@company.com"), secrets.token_urlsafe(24)
    role, capability = sql.Identifier(name), sql.Identifier(PERMISSIONS.capability_role_name(INSTALLATION.id))
    began = time.perf_counter()
    verifier = conn.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    conn.execute("BEGIN")
    conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
    conn.execute(sql.SQL("COMMENT ON ROLE {} IS 'by hand'").format(role))
    login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {} VALID UNTIL '2099-01-01'")
    conn.execute(login.format(role, sql.Literal(verifier)))
    conn.execute(sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE").format(capability, role))
    conn.execute("COMMIT")
    with connect(target, name, password) as check:
        check.execute("SELECT 1")
    elapsed = time.perf_counter() - began
    conn.execute(sql.SQL("DROP ROLE {}").format(role))
    return elapsed * 1000


def connect(target: Target, user: str, password: str) -> psycopg.Connection:
    """Connect as libpq's tools would, with the certificate verified from a file."""
    return psycopg.connect(
        host=target.host,
        port=target.port,
        dbname=target.database_name,
        user=user,
        password=password,
        sslmode="verify-full",
        sslrootcert=str(BENCH / "ca.pem"),
        autocommit=True,
    )
