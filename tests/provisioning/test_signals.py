"""Without pg_signal_backend sessions are ended as a member of their login: nothing is refused, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import EndReceipt, RungState
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.statements import advice
from devstack.postgres import PostgresServer
from tests.orders import as_made, to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import Shop, new_order, permissions
from tests.provisioning.dba import do_as_told
from tests.provisioning.test_preflight import climb
from tests.provisioning.test_promoted import Pair, is_cut, pair  # noqa: F401

ORDERS = permissions("SELECT", "app", "orders")
TAKE = "REVOKE pg_signal_backend FROM jit_portal"


@pytest.fixture(params=[14, 16, 18])
def shop(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Shop:
    made = shop_on(own_server(request.param))
    with made.as_dba() as dba:
        dba.execute(TAKE)
    return made


def test_a_set_s_first_use_and_every_later_one_end_with_their_sessions(shop: Shop) -> None:
    for _ in range(2):
        order = new_order(ORDERS)
        receipt = apply_grant(shop.target, order)
        user = shop.log_in(order)
        ended = end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
        assert [session.pid for session in ended.sessions] == [user.info.backend_pid]
        assert is_cut(user)
        assert shop.roles(order) == 0


def test_many_at_once_are_ended_each_with_its_session(shop: Shop) -> None:
    orders = [new_order(ORDERS, who=f"person{number}") for number in range(4)]
    endings = [as_made(order, role_oid=apply_grant(shop.target, order).role_oid) for order in orders]
    users = [shop.log_in(order) for order in orders[:3]]
    receipts = end_grants(shop.target, [to_end(order) for order in endings])
    assert [len(r.sessions) for r in receipts if isinstance(r, EndReceipt)] == [1, 1, 1, 0]
    assert all(map(is_cut, users))


def test_the_membership_does_not_outlive_the_transaction(shop: Shop) -> None:
    """Another session of the person's, in a role that is not ended, lives on; the portal is a member of nobody."""
    order, other = new_order(ORDERS), new_order(ORDERS, who="bob")
    for each in (order, other):
        apply_grant(shop.target, each)
    with shop.log_in(order), shop.log_in(other) as bystander:
        end_grant(shop.target, to_end(order))
        assert bystander.execute("SELECT 1").fetchall() == [(1,)]
        with shop.as_dba() as dba:
            rows = dba.execute(
                "SELECT 1 FROM pg_auth_members WHERE roleid = %s::regrole AND member = 'jit_portal'::regrole"
                " AND coalesce((to_jsonb(pg_auth_members) ->> 'inherit_option')::bool, true)",
                [other.login.role_name],
            ).fetchall()
        assert rows == []
    end_grant(shop.target, to_end(other))


def test_nobody_holds_it_up_with_a_lock_on_the_role(shop: Shop) -> None:
    """The door cannot be closed before the session is cut, and that is done in the same message."""
    order = new_order(ORDERS)
    ending = as_made(order, role_oid=apply_grant(shop.target, order).role_oid)
    user = shop.log_in(order)
    user.execute("SET lock_timeout = 0; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'anything'")
    assert len(end_grant(shop.target, to_end(ending)).sessions) == 1
    assert is_cut(user)
    assert shop.roles(order) == 0


@proves(advice.end_sessions)
def test_a_session_that_outlived_its_login_ends_when_a_dba_gave_the_right(shop: Shop) -> None:
    """Nobody can be a member of a role that is gone."""
    rung = climb(shop.target)["Rights"]
    assert (rung.state, "outlived their login" in rung.detail) == (RungState.WARNED, True)
    order = new_order(ORDERS)
    ending = as_made(order, role_oid=apply_grant(shop.target, order).role_oid)
    user = shop.log_in(order)
    with shop.as_dba() as dba:
        dba.execute(f"DROP ROLE {order.login.role_name}")  # type: ignore[call-overload]
    with pytest.raises(TargetError) as refusal:
        end_grant(shop.target, to_end(ending))
    assert not is_cut(user)
    assert "pg_signal_backend" in refusal.value.todo
    do_as_told(shop, refusal.value.todo)
    close_pools()
    end_grant(shop.target, to_end(ending))
    assert is_cut(user)
    assert climb(shop.target)["Rights"].state is RungState.PASSED


def test_sessions_on_a_standby_end_as_well(pair: Pair) -> None:  # noqa: F811
    pair.first.execute(TAKE)
    order, user = pair.grant()
    main = pair.first.connect(pair.shop.database, order.login.role_name, order.password)
    ended = end_grant(pair.replica, to_end(order))
    assert sorted(session.server for session in ended.sessions) == ["primary", "standby"]
    assert is_cut(user)
    assert is_cut(main)
    assert pair.roles(pair.first, order) == 0
    with pytest.raises(psycopg.OperationalError):
        pair.second.connect(pair.shop.database, order.login.role_name, order.password)
