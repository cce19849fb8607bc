"""A server on which the portal may not execute pg_control_system(): it works, and says what it cannot compare."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftOrder
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import RungState
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.absent_servers import end_what_is_left
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.provisioning.test_preflight import climb
from tests.provisioning.test_promoted import ORDERS, Pair, pair  # noqa: F401

CLOSE = "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC"


@pytest.fixture(params=[14, 18])
def closed_shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    shop = new_shop(request.param)
    with shop.as_dba() as dba:
        dba.execute(CLOSE)
    return shop


def test_access_is_given_compared_and_ended_without_the_system_identifier(closed_shop: Shop) -> None:
    shop = closed_shop
    order = of_installation(new_order(permissions("SELECT", "app", "orders")), new_installation())
    receipt = apply_grant(shop.target, order)
    assert receipt.system_identifier == ""
    wanted = DriftOrder(order.login.installation, (order.set.permissions,), (), frozenset({order.login.role_name}))
    assert check_drift(shop.target, wanted).findings == ()
    user = shop.log_in(order)
    receipt_of_end = end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
    assert [session.pid for session in receipt_of_end.sessions] == [user.info.backend_pid]
    assert shop.roles(order) == 0


def test_access_that_was_given_while_it_could_be_read_is_ended(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(18)
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(shop.target, order)
    assert receipt.system_identifier
    with shop.as_dba() as dba:
        dba.execute(CLOSE)
    close_pools()
    ending = as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)
    end_grant(shop.target, to_end(ending))
    assert shop.roles(order) == 0
    assert end_grant(shop.target, to_end(ending)).role_was_absent


def test_the_connection_test_says_what_is_not_verified_and_what_mends_it(closed_shop: Shop) -> None:
    shop = closed_shop
    rungs = climb(shop.target)
    assert rungs["Server"].state is RungState.WARNED
    assert rungs["Rehearsal"].state is RungState.PASSED
    with pytest.raises(TargetRefused, match="does not say which cluster it is") as refusal:
        ladder.read_cluster(shop.target)
    assert rungs["Server"].fix.endswith(refusal.value.todo.partition(": ")[2])
    with shop.as_dba() as dba:
        dba.execute(rungs["Server"].fix)  # type: ignore[call-overload]
    assert climb(shop.target)["Server"].state is RungState.PASSED
    assert ladder.read_cluster(shop.target) == str(shop.server.system_identifier)


def test_an_oid_alone_is_not_taken_for_a_login_of_ours(closed_shop: Shop) -> None:
    """Another server may have given the OID to a stranger: without the identifier, only the tag says whose it is."""
    shop = closed_shop
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        name = f"stranger_{secrets.token_hex(4)}"
        dba.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pa55word'").format(sql.Identifier(name)))
        [(oid,)] = dba.execute("SELECT oid::bigint FROM pg_roles WHERE rolname = %s", [name]).fetchall()
        with shop.server.connect(shop.database, name, "pa55word") as stranger:
            dba.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))  # its session lives on under the OID
            ours = as_made(order, role_oid=receipt.role_oid, system_identifier="7")
            gone = as_made(order, grant_id="other", role_oid=oid, system_identifier="7")
            look = end_what_is_left(shop.target, [ours.login, gone.login])
            assert look.error == ""
            assert [(left.grant_id, left.was_role_there, left.is_proved) for left in look.left] == [
                (order.login.grant_id, True, True)
            ]
            assert stranger.execute("SELECT 1").fetchall() == [(1,)]


def test_a_link_to_a_primary_is_believed_and_no_primary_is_guessed(pair: Pair) -> None:  # noqa: F811
    with pair.first.connect(pair.shop.database) as dba:
        dba.execute(CLOSE)
    close_pools()
    order = new_order(ORDERS)
    receipt = apply_grant(pair.replica, order)
    end_grant(pair.replica, to_end(order, role_oid=receipt.role_oid))
    with pytest.raises(TargetRefused, match="its primary is not known") as refusal:
        apply_grant(replace(pair.replica, primary=None), new_order(ORDERS))
    assert "cannot be read" in refusal.value.why
