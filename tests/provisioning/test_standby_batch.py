"""Many grants of a standby end together; and what holds on a standby that lags behind its primary for long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
import pytest

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.session import conversation
from devstack.postgres import PostgresServer
from devstack.process import wait_until
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")
MANY = 60


@dataclass(frozen=True)
class Pair:
    shop: Shop
    standby: PostgresServer
    target: Target

    def log_in(self, order: GrantOrder) -> psycopg.Connection:
        return self.standby.connect(self.shop.database, order.login.role_name, order.password)

    def applied(self, **changes: int) -> GrantOrder:
        order = new_order(ORDERS, **changes)
        return as_made(order, role_oid=apply_grant(self.target, order).role_oid)


@pytest.fixture
def pair(
    own_server: Callable[..., PostgresServer],
    own_standby: Callable[..., PostgresServer],
    shop_on: Callable[..., Shop],
) -> Pair:
    shop = shop_on(own_server(14))
    standby = own_standby(shop.server)
    return Pair(shop, standby, replace(shop.target, name="replica", port=standby.port, primary=shop.target))


def test_many_endings_on_a_standby(pair: Pair) -> None:
    """With sessions on both servers, in a fixed number of messages whatever the number of grants."""
    orders = [pair.applied() for _ in range(MANY)]
    on_standby = [pair.log_in(order) for order in orders[:20]]
    on_primary = [pair.shop.log_in(order) for order in orders[10:30]]
    sent: list[str] = []
    conversation.before_statement = sent.append
    try:
        outcomes = end_grants(pair.target, [to_end(order) for order in orders])
    finally:
        conversation.before_statement = None
    assert all(isinstance(outcome, EndReceipt) for outcome in outcomes)
    cut = [[session.server for session in receipt.sessions] for receipt in outcomes]  # type: ignore[union-attr]
    assert cut == [["standby"]] * 10 + [["primary", "standby"]] * 10 + [["primary"]] * 10 + [[]] * 30
    assert sent.count("drop the login role") == 1
    assert sent.count("verify that nothing is left") == 2, "on the primary and on the standby"
    assert sent.count("terminate its sessions") < 30
    for session in (*on_standby, *on_primary):
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    for server in (pair.standby, pair.shop.server):
        with server.connect() as dba:
            assert dba.execute("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_alice_'").fetchone() == (0,)


def test_a_login_ends_in_time_on_a_standby_that_replays_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed door does not get there, VALID UNTIL is there already; sessions are cut at once."""
    monkeypatch.setattr("accessmgmt.provisioning.connect.replay.LONGEST_WAIT_SECONDS", 0.2)
    order = pair.applied(ttl_seconds=3)
    user = pair.log_in(order)
    with pair.standby.connect() as dba:
        dba.execute("SELECT pg_wal_replay_pause()")
        wait_until(
            lambda: dba.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",),
            timeout=60,
            what="paused",
        )
        with pytest.raises(TargetUnavailable, match="is gone from the primary"):
            end_grant(pair.target, to_end(order))
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        again = pair.log_in(order)  # the trap is there: only its time keeps the door shut

        def is_refused() -> bool:
            try:
                pair.log_in(order).close()
            except psycopg.OperationalError:
                return True
            return False

        wait_until(is_refused, timeout=60, what="the login's time is over on the standby too")
        with pytest.raises(TargetUnavailable):
            end_grant(pair.target, to_end(order))
        with pytest.raises(psycopg.OperationalError):
            again.execute("SELECT 1")
        dba.execute("SELECT pg_wal_replay_resume()")
    monkeypatch.undo()
    assert end_grant(pair.target, to_end(order)).role_was_absent


def test_a_standby_that_is_late_on_purpose(
    own_server: Callable[..., PostgresServer],
    own_standby: Callable[..., PostgresServer],
    shop_on: Callable[..., Shop],
) -> None:
    """recovery_min_apply_delay: a grant is disclosed, and an end is proven, only when the standby has come so far."""
    shop = shop_on(own_server())
    standby = own_standby(shop.server, recovery_min_apply_delay="700ms")
    pair = Pair(shop, standby, replace(shop.target, name="replica", port=standby.port, primary=shop.target))
    order = pair.applied()
    user = pair.log_in(order)
    assert user.execute("SELECT count(*) FROM app.orders").fetchone() == (1,)
    receipt = end_grant(pair.target, to_end(order))
    assert [session.server for session in receipt.sessions] == ["standby"]
    with pytest.raises(psycopg.OperationalError):
        pair.log_in(order)
