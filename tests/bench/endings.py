"""A thousand grants that are due in the same second on one server, half of them with an open session.

`endings_1000_vs_bare_sql` compares the time from then until the last of them is proved to be gone with the same by hand
on the same server: one connection, all of them together, with one transaction that lets nobody log in, one query that
terminates every session, and one DROP ROLE. Nothing is looked for, recorded or verified there.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from typing import Any

import psycopg
from psycopg import sql

from devstack.stack import Stack
from tests.bench.engine import BENCH, new_order
from tests.bench.portal import Portal, portal_of
from tests.bench.small import create
from tests.bench.timing import percentile

COUNT, WITH_SESSION, SAMPLE = 1_000, 500, 40
HEAD_START_SECONDS = 75.0
SPARE_SECONDS = 3.0
PAUSE_SECONDS = 0.01  # between two attempts: the two cores are for the workers
LATEST_SECONDS = 120.0
Login = dict[str, Any]


def measure() -> dict[str, float]:
    """Return the lag from expiry to the verified end (sessions cut, role gone) and the sign-ins that came too late."""
    shutil.rmtree(BENCH / "stack", ignore_errors=True)
    with Stack(BENCH / "stack", fixed_ports=False, say=lambda _: None) as stack:
        make_room(stack)
        portal = portal_of(stack)
        due = datetime.now(UTC) + timedelta(seconds=HEAD_START_SECONDS)
        made = portal.call("make_active", count=COUNT, due_at=due.isoformat())
        logins = [login_of(stack, role, password) for role, password in made]
        with ThreadPoolExecutor(4) as pool:
            sessions = list(pool.map(open_session, logins[:WITH_SESSION]))
        if datetime.now(UTC) > due - timedelta(seconds=SPARE_SECONDS):
            raise RuntimeError("making the grants took longer than HEAD_START_SECONDS")
        late = wait_and_watch(portal, logins[:: COUNT // SAMPLE], due)
        figures = portal.call("lags", due_at=due.isoformat())
        check_nothing_left(stack, sessions, figures)
        bare_seconds = end_by_hand(stack)
    return {
        "endings_1000_bare_sql_s": bare_seconds,
        "endings_1000_vs_bare_sql": max(figures["verified"]) / bare_seconds,
        "endings_1000_lag_p50_s": percentile(figures["verified"], 50),
        "endings_1000_lag_p99_s": percentile(figures["verified"], 99),
        "endings_1000_late_logins": float(late),
    }


def make_room(stack: Stack) -> None:
    """Let the primary have as many sessions as are needed. Its replica, which has no part in this, stays away."""
    stack.stop_process("postgres-standby")
    with stack.primary.connect() as conn:
        conn.execute(f"ALTER SYSTEM SET max_connections = {WITH_SESSION + 200}")
    stack.stop_process("postgres-primary")
    stack.start_process("postgres-primary")


def login_of(stack: Stack, role: str, password: str) -> Login:
    """Return what libpq needs to log in as a grant's role."""
    return {
        "host": "localhost",
        "port": stack.primary.port,
        "dbname": "production",
        "user": role,
        "password": password,
        "sslmode": "require",
        "connect_timeout": 5,
    }


def open_session(login: Login) -> psycopg.Connection:
    """Log in and stay."""
    return psycopg.connect(**login, autocommit=True)


def wait_and_watch(portal: Portal, sample: list[Login], due: datetime) -> int:
    """Wait until all are ended while another process tries to log in; return how many it got after the time."""
    is_over = multiprocessing.Event()
    accepted = multiprocessing.Value("i", 0)
    poller = multiprocessing.Process(target=try_to_log_in, args=(sample, due, is_over, accepted))
    poller.start()
    try:
        deadline = time.monotonic() + (due - datetime.now(UTC)).total_seconds() + LATEST_SECONDS
        portal.call("wait_until_ended", due_at=due.isoformat(), count=COUNT, latest_seconds=deadline - time.monotonic())
    finally:
        is_over.set()
        poller.join()
    return int(accepted.value)


def try_to_log_in(sample: list[Login], due: datetime, is_over: Event, accepted: Any) -> None:
    """Try every password again and again from its time on, twice more after all is over."""
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    rounds_left = 2
    while rounds_left:
        rounds_left -= is_over.is_set()
        for login in sample:
            time.sleep(PAUSE_SECONDS)
            try:
                psycopg.connect(**login).close()
            except psycopg.OperationalError:
                continue
            accepted.value += 1


def check_nothing_left(stack: Stack, sessions: list[psycopg.Connection], figures: dict[str, list[float]]) -> None:
    """Ask the server itself, and every client: no role, no session, each session in a receipt."""
    with stack.primary.connect() as conn:
        roles = conn.execute("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_bench'").fetchone()
    alive = 0
    for session in sessions:
        try:
            session.execute("SELECT 1")
            alive += 1
        except psycopg.Error:
            session.close()
    cut = sum(figures["sessions"])
    if roles != (0,) or alive or len(figures["verified"]) != COUNT or cut < WITH_SESSION:
        raise RuntimeError(f"left: {roles} roles, {alive} sessions; {cut:g} sessions in {COUNT} receipts")


def end_by_hand(stack: Stack) -> float:
    """Return the seconds that the same takes by hand, as the admin role."""
    orders = [new_order() for _ in range(COUNT)]
    with stack.primary.connect("production") as conn:
        conn.execute("CREATE ROLE bench_by_hand NOLOGIN; GRANT CONNECT ON DATABASE production TO bench_by_hand")
        conn.execute("GRANT bench_by_hand TO jit_portal WITH ADMIN OPTION; SET ROLE jit_portal")
        for order in orders:
            create(conn, order, "bench_by_hand")
        logins = [login_of(stack, order.login.role_name, order.password) for order in orders[:WITH_SESSION]]
        with ThreadPoolExecutor(4) as pool:
            sessions = list(pool.map(open_session, logins))
        names = [sql.Identifier(order.login.role_name) for order in orders]
        fence = sql.SQL("; ").join(sql.SQL("ALTER ROLE {} NOLOGIN").format(name) for name in names)
        began = time.perf_counter()
        conn.execute(sql.SQL("BEGIN; {}; COMMIT").format(fence))
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY (%s)",
            [[order.login.role_name for order in orders]],
        )
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.SQL(", ").join(names)))
        seconds = time.perf_counter() - began
    for session in sessions:
        session.close()
    return seconds
