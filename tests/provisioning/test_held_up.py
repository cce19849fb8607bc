"""Locks that others hold for as long as they like: doors are shut, sessions cut, and nobody else waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.targets import EndReceipt, GrantOrder
from accessmgmt.provisioning.apply import apply_grant
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.connect import admin_session
from accessmgmt.provisioning.end_batch import end_grants
from devstack.postgres import PostgresServer
from tests.provisioning.conftest import Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")


def applied(shop: Shop, count: int) -> list[GrantOrder]:
    orders = [new_order(ORDERS) for _ in range(count)]
    return [replace(order, role_oid=apply_grant(shop.target, order).role_oid) for order in orders]


def is_let_in(shop: Shop, order: GrantOrder) -> bool:
    try:
        shop.log_in(order).close()
    except psycopg.OperationalError:
        return False
    return True


def test_who_holds_the_capability_role_keeps_no_door_open(new_shop: Callable[..., Shop]) -> None:
    """An open GRANT of it keeps REVOKE waiting, on 16 and later."""
    shop = new_shop(18)
    orders = applied(shop, 4)
    user = shop.log_in(orders[0])
    capability = orders[0].capability
    with shop.as_dba() as dba:
        dba.execute("BEGIN")
        dba.execute(sql.SQL("GRANT {} TO pg_monitor").format(sql.Identifier(capability)))
        end_grants(shop.target, orders)
        assert [is_let_in(shop, order) for order in orders] == [False] * 4
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        dba.execute("ROLLBACK")
    assert all(isinstance(outcome, EndReceipt) for outcome in end_grants(shop.target, orders))


@pytest.mark.parametrize("version", [18, 14])
def test_who_holds_many_login_roles_delays_no_ending(new_shop: Callable[..., Shop], version: int) -> None:
    """A colleague is cut once; what they hold is free for all the others, too."""
    shop = new_shop(version)
    *orders, rogue = applied(shop, 6)
    with shop.log_in(rogue) as user:
        user.execute("BEGIN")
        for order in orders[:4]:
            user.execute("SELECT pg_get_object_address('role', %s, '{}')", [[order.role_name]])
        outcomes = end_grants(shop.target, orders)
        assert all(isinstance(outcome, EndReceipt) for outcome in outcomes)
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
    assert is_let_in(shop, rogue), "the colleague's own grant goes on"
    assert all(isinstance(outcome, EndReceipt) for outcome in end_grants(shop.target, [*orders, rogue]))


def test_an_advisory_lock_in_a_prepared_transaction_is_not_waited_for(
    own_server: Callable[..., PostgresServer], shop_on: Callable[[PostgresServer], Shop]
) -> None:
    shop = shop_on(own_server(17, max_prepared_transactions=5))
    [first] = applied(shop, 1)
    with shop.log_in(first) as user:
        user.execute("BEGIN; SELECT pg_advisory_xact_lock(1246319696, 1); PREPARE TRANSACTION 'mine'")
    assert apply_grant(shop.target, new_order(permissions("SELECT", "app", "customers"))).table_count == 1


@pytest.mark.parametrize("version", [18, 14])
@pytest.mark.parametrize("force", ["FORCE", "NO FORCE"])
def test_a_policy_that_asks_its_own_table_keeps_no_set_from_being_given(
    new_shop: Callable[..., Shop], version: int, force: str
) -> None:
    shop = new_shop(version)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute(
            "CREATE TABLE app.teams (id int, who text); ALTER TABLE app.teams ENABLE ROW LEVEL SECURITY;"
            " CREATE POLICY p ON app.teams USING (EXISTS (SELECT FROM app.teams t WHERE t.who = current_user))"
        )
        dba.execute(sql.SQL("ALTER TABLE app.teams {} ROW LEVEL SECURITY").format(sql.SQL(force)))  # type: ignore[arg-type]
    assert apply_grant(shop.target, new_order(permissions("SELECT"))).table_count == 11


def test_a_lock_query_that_was_left_over_does_no_harm(new_shop: Callable[..., Shop]) -> None:
    """A cancel between PREPARE and DEALLOCATE leaves it on a connection that goes back to the pool."""
    shop = new_shop()
    with admin_session(shop.target, Budget(20)) as session:
        session.conn.execute("PREPARE jit_lock AS SELECT 1")
    assert apply_grant(shop.target, new_order(ORDERS)).table_count == 1


NAMES = ("x$hold$", "q\"uo'te", "per%cent %s %(a)s", "br{ace} {0} {}", "new\nline -- ", "back\\slash", "$$", "; DROP")


@pytest.mark.parametrize("version", [18, 14])
def test_no_name_ends_the_text_it_stands_in(new_shop: Callable[..., Shop], version: int) -> None:
    shop = new_shop(version)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for name in NAMES:
            dba.execute(sql.SQL("CREATE SCHEMA {0}; CREATE TABLE {0}.{0} (id serial)").format(sql.Identifier(name)))
    order = new_order(permissions("SELECT,INSERT", "*", "*"))
    receipt = apply_grant(shop.target, order)
    assert {(name, name) for name in NAMES} <= {(table.schema, table.table) for table in receipt.tables}
    [outcome] = end_grants(shop.target, [replace(order, role_oid=receipt.role_oid)])
    assert isinstance(outcome, EndReceipt)
