"""Logins on one table, beyond the 2,437 roles at which a table's own list of privileges is full.

The first 500 logins and the last 500 are made by the engine, one by one; those between by its statements, many in a
transaction, because the server needs longer for each role the more of them its creator administers. All are then
counted as members, one more grant is applied in full and its login reads the table. Those that the engine made it ends
in batches while the others stay.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import parse_permissions
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.apply.login import ensure_login
from accessmgmt.provisioning.connect.admin import admin_session, close_pools
from accessmgmt.provisioning.connect.scram import make_verifier
from accessmgmt.provisioning.end.grants import end_grants
from accessmgmt.provisioning.privileges.read import read_facts, scope_of
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.roles import comment_on_role, write_login
from tests.bench.engine import INSTALLATION, by_hand, connect, durable_target, new_order
from tests.orders import as_made, to_end

LOGINS = 6_000
BY_ENGINE = 500  # at either end
IN_BULK = 250
THREADS = 2
BUDGET_SECONDS = 15.0
BATCH = 250
PERMISSIONS = parse_permissions({"grants": ["SELECT"], "schemas": ["public"], "tables": ["customers"]})
CAPABILITY = PERMISSIONS.capability_role_name(INSTALLATION.id)


def measure() -> dict[str, float]:
    """Return how many logins had the table at the same time, how fast the last were made, and many ended."""
    with durable_target() as target:
        first = apply(target, new_order(PERMISSIONS))
        with by_hand(target) as conn:
            size = size_of_acl(conn)
            orders = [first, *make(target, BY_ENGINE - 1)]
            while len(orders) < LOGINS - BY_ENGINE:
                orders += make_in_bulk(conn, min(IN_BULK, LOGINS - BY_ENGINE - len(orders)))
            began = time.perf_counter()
            orders += make(target, BY_ENGINE)
            made = time.perf_counter()
            last = new_order(PERMISSIONS)
            orders.append(apply(target, last))
            one_more = time.perf_counter()
            reached = count_members(conn)
            check(conn, target, last, size, reached)
            ending = time.perf_counter()
            ours = orders[:BY_ENGINE] + orders[-BY_ENGINE:]
            end(target, ours)
            ended = time.perf_counter()
            if (left := count_members(conn)) != reached - len(ours):
                raise RuntimeError(f"{left} of {reached} logins are left after {len(ours)} were ended")
        close_pools()
    return {
        "logins_on_one_table": float(reached),
        "logins_on_one_table_last_500_per_s": BY_ENGINE / (made - began),
        "logins_on_one_table_one_more_ms": (one_more - made) * 1000,
        "logins_on_one_table_ended_per_s": len(ours) / (ended - ending),
    }


def make(target: Target, count: int) -> list[GrantOrder]:
    """Make logins as apply_grant does once the set is in order, without its sign-in check."""

    def make_one(order: GrantOrder) -> GrantOrder:
        with admin_session(target, Budget(BUDGET_SECONDS)) as session:
            scope = scope_of(order.set, session.server_version)
            facts, _ = read_facts(session, scope, order.login.role_name)
            login = session.repeat(lambda: ensure_login(session, order, scope, facts))
        return as_made(order, role_oid=login.oid)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(make_one, [new_order(PERMISSIONS) for _ in range(count)]))


def make_in_bulk(conn: psycopg.Connection, count: int) -> list[GrantOrder]:
    """Make logins by the admin role with the engine's statements, each kind of them after the other."""
    orders = [replace(new_order(PERMISSIONS), password="") for _ in range(count)]
    until, verifier = datetime.now(UTC) + timedelta(hours=8), make_verifier("the-same-for-all-of-them")
    creating = [
        write_login(order.login.role_name, exists=False, verifier=verifier, valid_until=until).query for order in orders
    ]
    tagging = [comment_on_role(order.login.role_name, order.login.tag).query for order in orders]
    granting = sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE").format(
        sql.Identifier(CAPABILITY), sql.SQL(", ").join(sql.Identifier(order.login.role_name) for order in orders)
    )
    conn.execute(sql.SQL("; ").join([sql.SQL("BEGIN"), *creating, *tagging, granting, sql.SQL("COMMIT")]))
    return orders


def apply(target: Target, order: GrantOrder) -> GrantOrder:
    """Apply a grant in full and return the order to end it."""
    return as_made(order, role_oid=apply_grant(target, order).role_oid)


def check(conn: psycopg.Connection, target: Target, last: GrantOrder, size: int, reached: int) -> None:
    """Make sure that all are members, that the table's list has not grown, and that the last login can read."""
    if reached != LOGINS + 1 or size_of_acl(conn) != size:
        raise RuntimeError(f"{reached} members; the list of privileges has {size_of_acl(conn)} bytes, first {size}")
    with connect(target, last.login.role_name, last.password) as login:
        if login.execute("SELECT count(*) FROM customers").fetchone() != (10,):
            raise RuntimeError("the last login does not see the table's rows")


def count_members(conn: psycopg.Connection) -> int:
    """Return how many roles that may log in have the table through the capability role."""
    query = """
        SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
        WHERE m.roleid = to_regrole(%s) AND r.rolcanlogin AND has_table_privilege(r.oid, 'customers', 'SELECT')
    """
    return int(conn.execute(query, [CAPABILITY]).fetchall()[0][0])


def size_of_acl(conn: psycopg.Connection) -> int:
    """Return the bytes of the table's own list of privileges."""
    query = "SELECT pg_column_size(relacl) FROM pg_class WHERE oid = 'customers'::regclass"
    return int(conn.execute(query).fetchall()[0][0])


def end(target: Target, orders: list[GrantOrder]) -> None:
    """End grants, in batches."""
    batches = [orders[start : start + BATCH] for start in range(0, len(orders), BATCH)]
    with ThreadPoolExecutor(THREADS) as pool:
        for outcomes in pool.map(lambda batch: end_grants(target, [to_end(order) for order in batch]), batches):
            for outcome in outcomes:
                if isinstance(outcome, TargetError):
                    raise outcome
