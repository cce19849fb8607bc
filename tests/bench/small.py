"""A small grant and a small end, 10 tables: the whole engine against the bare minimum that a DBA types.

By hand is one connection that stays open, without any check of what was found, recorded or left:
- a grant: verifier, CREATE ROLE and GRANT in one transaction, one sign-in as the role;
- an end, of a login with one open session: ALTER ROLE ... NOLOGIN, pg_terminate_backend, DROP ROLE.
The two ways alternate on one durable PostgreSQL 18 with TLS.
"""

from __future__ import annotations

import statistics
import time

import psycopg
from psycopg import sql

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from tests.bench.engine import BENCH, PERMISSIONS, by_hand, connect, durable_server, new_order
from tests.bench.scale import make_sized_target
from tests.orders import as_made, to_end

TABLES = 10
ROUNDS, WARM_UP = 60, 5
CREATE = "BEGIN; CREATE ROLE {} LOGIN PASSWORD {} VALID UNTIL '2099-01-01'; GRANT {} TO {}; COMMIT"


def measure() -> dict[str, float]:
    """Return medians in milliseconds, and their ratios."""
    times: dict[str, list[float]] = {"apply_engine": [], "apply_by_hand": [], "end_engine": [], "end_by_hand": []}
    with durable_server("small") as server:
        target = make_sized_target(server, TABLES)
        (BENCH / "ca.pem").write_text(target.tls_root_cert)
        with by_hand(target) as conn:
            for _ in range(WARM_UP + ROUNDS):
                for name, elapsed in (by_engine(target) | typed(conn, target)).items():
                    times[name].append(elapsed)
        close_pools()
    found = {name: statistics.median(values[WARM_UP:]) for name, values in times.items()}
    return {
        **{f"{name}_small_ms_p50": value for name, value in found.items()},
        "apply_small_vs_bare_sql_ratio": found["apply_engine"] / found["apply_by_hand"],
        "end_small_vs_bare_sql_ratio": found["end_engine"] / found["end_by_hand"],
    }


def by_engine(target: Target) -> dict[str, float]:
    """Apply a grant, log in as its person does, and end it."""
    order = new_order()
    began = time.perf_counter()
    receipt = apply_grant(target, order)
    applied = time.perf_counter() - began
    ending = as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)
    with connect(target, order.login.role_name, order.password):
        began = time.perf_counter()
        end_grant(target, to_end(ending))
        ended = time.perf_counter() - began
    return {"apply_engine": applied * 1000, "end_engine": ended * 1000}


def typed(conn: psycopg.Connection, target: Target) -> dict[str, float]:
    """Do the same by hand."""
    order = new_order()
    began = time.perf_counter()
    create(conn, order, PERMISSIONS.capability_role_name(order.login.installation.id))
    with connect(target, order.login.role_name, order.password) as check:
        check.execute("SELECT 1")
    applied = time.perf_counter() - began
    role = sql.Identifier(order.login.role_name)
    with connect(target, order.login.role_name, order.password):
        began = time.perf_counter()
        conn.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        conn.execute(cut, [order.login.role_name])
        conn.execute(sql.SQL("DROP ROLE {}").format(role))
        ended = time.perf_counter() - began
    return {"apply_by_hand": applied * 1000, "end_by_hand": ended * 1000}


def create(conn: psycopg.Connection, order: GrantOrder, capability: str) -> None:
    """Make a login that is a member of the capability role, in one message and one commit."""
    name = order.login.role_name
    verifier = conn.pgconn.encrypt_password(order.password.encode(), name.encode(), b"scram-sha-256").decode()
    role, group = sql.Identifier(name), sql.Identifier(capability)
    conn.execute(sql.SQL(CREATE).format(role, sql.Literal(verifier), group, role))
