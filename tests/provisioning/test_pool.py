"""max_connections and min_connections: what they bound on the server, and in a process of the portal."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.provisioning import connect, pool
from accessmgmt.provisioning.apply import apply_grant
from accessmgmt.provisioning.connect import admin_connection
from accessmgmt.provisioning.end import end_grant
from devstack.process import wait_until
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
    end_grant(target, replace(order, role_oid=receipt.role_oid))


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


def test_only_min_connections_stay_open_when_nothing_is_to_be_done(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    target = replace(shop.target, name="shrinking", max_connections=4, min_connections=1)
    with ExitStack() as stack:
        pids = [stack.enter_context(admin_connection(target)).info.backend_pid for _ in range(3)]
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    connect._pool_of(target).shrink()

    def living() -> int:
        with shop.as_dba() as conn:
            query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND backend_type = 'client backend'"
            row = conn.execute(query, [pids]).fetchone()
        return int(row[0]) if row else -1

    wait_until(lambda: living() == 1, timeout=5, what="one connection stays")
