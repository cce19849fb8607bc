"""A person who fills the server up keeps nobody out who ends their access."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import psycopg
import pytest

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import Rung, RungState
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect import admin, held_open, pool
from accessmgmt.provisioning.connect.admin import admin_connection, close_pools, forget_connections
from accessmgmt.provisioning.end.grants import end_grant
from devstack.postgres import PostgresServer
from devstack.process import wait_until
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")
SMALL: dict[str, str | int] = {"max_connections": 20}


@pytest.fixture
def small(own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]) -> Callable[..., Shop]:
    """Return a function that makes a shop on a server of 20 connections, of which none is kept free for us."""

    def make(version: int, **settings: str | int) -> Shop:
        free = {} if version < 16 else {"reserved_connections": 0}
        return shop_on(own_server(version, **(SMALL | free | settings)))

    return make


@contextmanager
def filled(shop: Shop, order: GrantOrder) -> Iterator[list[psycopg.Connection]]:
    """Log in as the order's person until nobody gets in any more."""
    with ExitStack() as stack:
        sessions = []
        with suppress(psycopg.OperationalError):
            while True:
                sessions.append(stack.enter_context(shop.log_in(order)))
        assert len(sessions) < 20, "the server, not the login's own limit"
        yield sessions


def applied(shop: Shop) -> GrantOrder:
    order = new_order(ORDERS)
    receipt = apply_grant(shop.target, order)
    close_pools()
    return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)


def is_cut(user: psycopg.Connection) -> bool:
    try:
        user.execute("SELECT count(*) FROM app.orders")
    except psycopg.OperationalError:
        return True
    return False


@pytest.mark.parametrize("version", [18, 14])
def test_the_connection_that_is_held_open_ends_it(small: Callable[..., Shop], version: int) -> None:
    shop = small(version)
    order = applied(shop)
    held_open.keep_open(shop.target)
    with filled(shop, order) as sessions:
        receipt = end_grant(shop.target, to_end(order))
        assert len(receipt.sessions) == len(sessions)
        assert all(is_cut(user) for user in sessions)
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", [18, 16])
def test_connections_that_are_kept_free_end_it(small: Callable[..., Shop], version: int) -> None:
    """Without INHERIT TRUE the grant does nothing: the login is NOINHERIT."""
    shop = small(version, reserved_connections=2)
    order = applied(shop)
    with filled(shop, order) as sessions:
        assert len(end_grant(shop.target, to_end(order)).sessions) == len(sessions)
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", [18, 14])
def test_without_either_the_portal_waits_for_room(small: Callable[..., Shop], version: int) -> None:
    """53300 is no refusal: it is tried again, and works as soon as there is room."""
    shop = small(version)
    order = applied(shop)
    with filled(shop, order):
        with pytest.raises(TargetUnavailable) as full:
            end_grant(shop.target, to_end(order))
        assert full.value.sqlstate == "53300"
    wait_until(lambda: can_connect(shop), timeout=30, what="there is room again")
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


def can_connect(shop: Shop) -> bool:
    try:
        with admin_connection(shop.target):
            return True
    except TargetUnavailable:
        return False


def test_a_connection_that_is_held_open_outlives_every_limit(
    small: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle, old, and beside one that was found dead: without a new one the old one has to do."""
    shop = small(18)
    order = applied(shop)
    monkeypatch.setattr(pool, "IDLE_SECONDS", -1.0)
    monkeypatch.setattr(pool, "LIFETIME_SECONDS", -1.0)
    held_open.keep_open(shop.target)
    pid = connection_pid(shop)
    with filled(shop, order):
        admin._pool_of(shop.target).shrink()
        forget_connections(shop.target)
        held_open.keep_open(shop.target)
        assert connection_pid(shop) == pid
        end_grant(shop.target, to_end(order))
    held_open.keep_open(shop.target)
    assert connection_pid(shop) != pid, "renewed, as soon as that is possible"
    admin._pool_of(shop.target)._kept_until = 0.0
    pid = connection_pid(shop)
    admin._pool_of(shop.target).shrink()
    assert connection_pid(shop) != pid, "no longer held open"


def connection_pid(shop: Shop) -> int:
    with admin_connection(shop.target) as conn:
        return conn.info.backend_pid


def test_a_connection_that_died_is_made_again(small: Callable[..., Shop]) -> None:
    shop = small(18)
    held_open.keep_open(shop.target)
    pid = connection_pid(shop)
    with shop.as_dba() as dba:
        dba.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    held_open.keep_open(shop.target)
    assert pids_of(shop) not in ([], [pid])


def pids_of(shop: Shop) -> list[int]:
    with shop.as_dba() as dba:
        query = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend'"
        return [pid for (pid,) in dba.execute(query, [shop.target.username])]


def test_a_thread_holds_them_open_and_no_dead_server_is_in_its_way(
    small: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_open, "EVERY_SECONDS", 0.1)
    shop = small(18)
    dead = replace(shop.target, name="dead", port=1)
    assert pids_of(shop) == []
    held_open.keep_all_open([dead, shop.target])
    try:
        wait_until(lambda: len(pids_of(shop)) == 1, timeout=30, what="a connection is held open")
        wait_until(lambda: held_open._keeper.targets[dead].failures > 1, timeout=30, what="the dead one is tried again")
        assert held_open._keeper.targets[dead].due_at > time.monotonic()
    finally:
        held_open.keep_all_open([])
    close_pools()


def connections_rung(shop: Shop) -> Rung:
    close_pools()
    return {rung.name: rung for rung in ladder.test_connection(shop.target)}["Connections"]


@pytest.mark.parametrize("version", [18, 16])
def test_the_connection_test_says_how_to_keep_connections_free(small: Callable[..., Shop], version: int) -> None:
    """What it shows makes it pass, after a restart where it says so; a right without free connections is none."""
    shop = small(version)
    with shop.as_dba() as dba:
        dba.execute("REVOKE pg_use_reserved_connections FROM " + shop.target.username)  # type: ignore[arg-type]
    rung = connections_rung(shop)
    assert (rung.state, "held open" in rung.detail) == (RungState.WARNED, True)
    statements = [line for line in rung.fix.splitlines() if not line.startswith("--")]
    assert len(statements) == 2
    with shop.as_dba() as dba:
        for statement in statements:
            dba.execute(statement)  # type: ignore[arg-type]
    assert connections_rung(shop).state is RungState.WARNED, "the server has not been started again"
    shop.server.stop()
    del shop.server.settings["reserved_connections"]
    shop.server.start()
    rung = connections_rung(shop)
    assert (rung.state, rung.fix) == (RungState.PASSED, "")
    assert "an ending gets in: 3 are kept free" in rung.detail
    with shop.as_dba() as dba:
        dba.execute("REVOKE pg_use_reserved_connections FROM " + shop.target.username)  # type: ignore[arg-type]
    rung = connections_rung(shop)
    assert (rung.state, "ALTER SYSTEM" in rung.fix) == (RungState.WARNED, False)
    with shop.as_dba() as dba:
        dba.execute(rung.fix)  # type: ignore[arg-type]
    assert connections_rung(shop).state is RungState.PASSED


def test_the_connection_test_says_what_is_held_open_where_none_can_be_kept_free(small: Callable[..., Shop]) -> None:
    shop = small(14)
    rung = connections_rung(shop)
    assert (rung.state, "held open" in rung.detail) == (RungState.PASSED, True)
    with shop.as_dba() as dba:
        dba.execute(f"ALTER ROLE {shop.target.username} CONNECTION LIMIT 3")  # type: ignore[arg-type]
    rung = connections_rung(shop)
    assert (rung.state, "may have only 3" in rung.detail) == (RungState.WARNED, True)
    with shop.as_dba() as dba:
        dba.execute(rung.fix)  # type: ignore[arg-type]
    assert connections_rung(shop).state is RungState.PASSED
