"""How the engine's share grows with the number of tables, and how long a drift check of a large database takes.

Three databases with 10, 1,000 and 10,000 tables on one durable PostgreSQL 18 with TLS; the rounds go through all of
them, by the engine and by hand, so that a busy machine is busy for every figure.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from accessmgmt.domain.drift import DriftOrder, KnownLogin
from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from devstack.postgres import PostgresServer
from tests.bench.engine import BENCH, INSTALLATION, apply_by_engine, apply_by_hand, by_hand, durable_server
from tests.targets import OWNER, make_target

SIZES = (10, 1_000, 10_000)
LOGINS = 1_000
ROUNDS = 30
WARM_UP = 3
CHECKS = 15
TABLES_A_STATEMENT = 500
SETS = tuple(
    parse_permissions({"grants": grants, "schemas": ["public"], "tables": tables})
    for grants, tables in (
        (["SELECT"], ["*"]),
        (["SELECT", "INSERT", "UPDATE", "DELETE"], ["*"]),
        (["SELECT"], ["t_1*"]),
        (["ALL"], ["t_7", "t_8", "t_9"]),
    )
)


def measure() -> dict[str, float]:
    """Return the ratios of medians, and the seconds of the median drift check."""
    with durable_targets() as targets:
        engine_ms: dict[int, list[float]] = {size: [] for size in SIZES}
        bare_ms: dict[int, list[float]] = {size: [] for size in SIZES}
        with ExitStack() as stack:
            by_hands = {size: stack.enter_context(by_hand(target)) for size, target in targets.items()}
            for number in range(WARM_UP + ROUNDS):
                for size, target in targets.items():
                    engine, bare = apply_by_engine(target), apply_by_hand(by_hands[size], target)
                    if number >= WARM_UP:
                        engine_ms[size].append(engine)
                        bare_ms[size].append(bare)
        drift_seconds = measure_drift(targets[SIZES[-1]])
        close_pools()
    engines = {size: statistics.median(values) for size, values in engine_ms.items()}
    bares = {size: statistics.median(values) for size, values in bare_ms.items()}
    return {
        "apply_10000_vs_10_tables_ratio": engines[10_000] / engines[10],
        "apply_vs_bare_sql_ratio_1000_tables": engines[1_000] / bares[1_000],
        "apply_vs_bare_sql_ratio_10000_tables": engines[10_000] / bares[10_000],
        "drift_10000_tables_1000_logins_s": drift_seconds,
    }


@contextmanager
def durable_targets() -> Iterator[dict[int, Target]]:
    """Run a PostgreSQL 18 with fsync on, TLS, the minimal admin role and a database of each size."""
    with durable_server("scale") as server:
        yield {size: make_sized_target(server, size) for size in SIZES}


def make_sized_target(server: PostgresServer, size: int) -> Target:
    """Make a database with so many tables in public, in statements that fit the server's lock table."""
    fields = make_target(server)
    (BENCH / "ca.pem").write_text(fields["tls_root_cert"])
    with server.connect(fields["database_name"]) as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
        there = 2  # what make_target made
        while there < size:
            upto = min(size, there + TABLES_A_STATEMENT)
            create = "DO $$BEGIN FOR i IN {}..{} LOOP EXECUTE format('CREATE TABLE t_%s (id int)', i); END LOOP; END$$"
            conn.execute(sql.SQL(create).format(sql.Literal(there), sql.Literal(upto - 1)))
            there = upto
        conn.execute("RESET ROLE")
        conn.execute("VACUUM ANALYZE pg_class")
    return Target(resource_id=size, name=f"bench-{size}", **{**fields, "ssl_mode": SslMode(fields["ssl_mode"])})


def measure_drift(target: Target) -> float:
    """Return the median seconds of a check that finds nothing, with 1,000 logins of four permission sets."""
    if refused := resync_sets(target, INSTALLATION, SETS, budget_seconds=300).refused:
        raise RuntimeError(str(refused))
    with by_hand(target) as conn:
        order = DriftOrder(INSTALLATION, SETS, tuple(make_logins(conn)))
        times = []
        for _ in range(CHECKS):
            began = time.perf_counter()
            report = check_drift(target, order)
            times.append(time.perf_counter() - began)
            if report.findings:
                raise RuntimeError(f"the bench's own database differs: {report.findings[:3]}")
        if report.login_count != LOGINS or report.relation_count < 2 * SIZES[-1]:
            raise RuntimeError(f"too little was compared: {report.login_count}, {report.relation_count}")
    return statistics.median(times)


def make_logins(conn: psycopg.Connection) -> Iterator[KnownLogin]:
    """Make logins as the engine does, without asking for each whether it works."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=8)
    for number in range(LOGINS):
        permissions: PermissionSet = SETS[number % len(SETS)]
        grant_id, name = secrets.token_hex(8), f"jit_bench_{secrets.token_hex(5)}"
        capability = permissions.capability_role_name(INSTALLATION.id)
        text = (
            "CREATE ROLE {role} LOGIN VALID UNTIL {until}; COMMENT ON ROLE {role} IS {tag};"
            " GRANT {capability} TO {role} WITH INHERIT TRUE, SET FALSE"
        )
        conn.execute(
            sql.SQL(text).format(
                role=sql.Identifier(name),
                until=sql.Literal(until.isoformat()),
                tag=sql.Literal(INSTALLATION.tag("grant", grant_id, name)),
                capability=sql.Identifier(capability),
            )
        )
        row = conn.execute("SELECT oid::bigint FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        if row is None:
            raise RuntimeError(f"{name} was not made")
        yield KnownLogin(grant_id, name, row[0], capability, until)
