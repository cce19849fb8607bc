"""max_connections and min_connections: what they bound on the server, and in a process of the portal."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect import admin, pool
from accessmgmt.provisioning.connect.admin import admin_connection
from accessmgmt.provisioning.end.grants import end_grant
from devstack.process import wait_until
from tests.orders import to_end
from tests.provisioning.conftest import Shop, new_order, permissions


@pytest.mark.parametrize(("given", "limit"), [(3, 3), (None, 20)])
def test_a_login_has_as_many_sessions_as_the_resource_says(shop: Shop, given: int | None, limit: int) -> None:
    target = replace(shop.target, max_connections=given)
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(target, order)
    open_ones = [shop.log_in(order) for _ in range(limit)]
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        shop.log_in(order)
    for conn in open_ones:
        conn.close()
    end_grant(target, to_end(order, role_oid=receipt.role_oid))


@pytest.mark.parametrize(("largest", "smallest", "kept"), [(2, 1, 2), (None, None, 4), (100, 20, 4), (1, 0, 1)])
def test_a_process_of_the_portal_keeps_few_connections(
    shop: Shop, largest: int | None, smallest: int | None, kept: int
) -> None:
    """At most max_connections, and never more than four; one too many waits, and is told so."""
    target = replace(shop.target, name=f"pool-{largest}", max_connections=largest, min_connections=smallest)
    with ExitStack() as stack:
        pids = {stack.enter_context(admin_connection(target)).info.backend_pid for _ in range(kept)}
        assert len(pids) == kept
        with pytest.raises(TargetUnavailable, match="are busy"), admin_connection(target, timeout_seconds=0.05):
            pass
    with admin_connection(target) as conn:
        assert conn.info.backend_pid in pids


def test_one_asks_a_server_that_lets_nobody_in_and_the_others_do_not_wait() -> None:
    """A hundred wait for a grant there, and each would hold a thread: after two seconds nobody stays in line."""
    is_asked, may_answer = threading.Event(), threading.Event()
    asked: list[float] = []

    def connect_slowly(seconds: float) -> psycopg.Connection:
        asked.append(seconds)
        is_asked.set()
        may_answer.wait(60)
        raise TargetUnavailable("no answer")

    made = pool.Pool(connect_slowly, smallest=0, largest=4)

    def take() -> str:
        try:
            made.take(60)
        except TargetUnavailable as error:
            return error.what
        return "let in"

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(12) as others:
        pioneer = first.submit(take)
        assert is_asked.wait(60)
        came = [others.submit(take) for _ in range(100)]
        assert {one.result(60) for one in came} <= {
            "This target has let nobody in lately, and others are asking it now.",
            "All of the portal's connections to this target are busy.",
        }
        assert not pioneer.done(), "it had no patience"
        may_answer.set()
        assert pioneer.result(60) == "no answer"
    assert len(asked) == 1


def test_a_server_that_lets_one_in_lets_the_others_in_at_once(shop: Shop) -> None:
    target = replace(shop.target, name="all at once")
    gate = threading.Barrier(4)

    def use() -> int:
        with admin_connection(target) as conn:
            gate.wait(60)
            return conn.info.backend_pid

    with ThreadPoolExecutor(4) as threads:
        pids = [used.result(60) for used in [threads.submit(use) for _ in range(4)]]
    assert len(set(pids)) == 4


def test_only_min_connections_stay_open_when_nothing_is_to_be_done(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    target = replace(shop.target, name="shrinking", max_connections=4, min_connections=1)
    with ExitStack() as stack:
        pids = [stack.enter_context(admin_connection(target)).info.backend_pid for _ in range(3)]
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    admin._pool_of(target).shrink()

    def living() -> int:
        with shop.as_dba() as conn:
            query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND backend_type = 'client backend'"
            row = conn.execute(query, [pids]).fetchone()
        return int(row[0]) if row else -1

    wait_until(lambda: living() == 1, timeout=60, what="one connection stays")
