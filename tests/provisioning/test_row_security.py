"""Policies that name the portal's roles: those of a login go with it, those of a capability role keep it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from psycopg import sql

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from devstack.recipe import prepare_database, prepare_target
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_installation, new_order, permissions


@pytest.fixture(params=[18, 16, 14])
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    """A shop of the test's own whose orders are guarded by row level security."""
    shop = new_shop(request.param)
    with shop.as_dba() as dba:
        dba.execute("ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY")
        dba.execute("CREATE POLICY of_everybody ON app.orders AS RESTRICTIVE USING (true)")
    return shop


def an_order() -> GrantOrder:
    """An order of an installation of its own: no capability role is there yet."""
    order = new_order(permissions("SELECT", "app", "orders"))
    return of_installation(order, new_installation())


def policies(shop: Shop, database: str = "") -> set[tuple[str, tuple[str, ...]]]:
    """Return each policy with the names of its roles."""
    with shop.as_dba(database) as dba:
        rows = dba.execute("SELECT policyname::text, roles::text[] FROM pg_policies").fetchall()
    return {(name, tuple(sorted(roles))) for name, roles in rows}


def test_a_policy_for_a_login_ends_with_it(shop: Shop) -> None:
    """It would be a dependency that keeps DROP ROLE from succeeding. Those of others stay."""
    order, other = an_order(), an_order()
    apply_grant(shop.target, order)
    apply_grant(shop.target, other)
    with shop.as_dba() as dba:
        one, two = sql.Identifier(order.login.role_name), sql.Identifier(other.login.role_name)
        dba.execute(sql.SQL("CREATE POLICY of_one ON app.orders TO {} USING (true)").format(one))
        dba.execute(sql.SQL("CREATE POLICY of_two ON app.orders TO {}, {} USING (true)").format(one, two))
    with shop.log_in(order) as user:
        assert user.execute("SELECT count(*) > 0 FROM app.orders").fetchone() == (True,)
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0
    assert policies(shop) == {("of_everybody", ("public",)), ("of_two", (other.login.role_name,))}
    end_grant(shop.target, to_end(other))
    assert policies(shop) == {("of_everybody", ("public",))}


def test_a_policy_in_another_database_keeps_a_capability_role(shop: Shop) -> None:
    """DROP OWNED drops a policy whose only role it is, in whatever database it lies."""
    other = f"second_{secrets.token_hex(4)}"
    owner = sql.Identifier(f"{shop.database}_owner")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(other), owner))
        prepare_target(dba, login=shop.target.username, password=ADMIN_PASSWORD, databases=[other])
    with shop.as_dba(other) as dba:
        prepare_database(dba)
        dba.execute(sql.SQL("SET ROLE {}").format(owner))
        dba.execute("CREATE SCHEMA app; CREATE TABLE app.orders (id int)")
    order = an_order()
    for target in (shop.target, replace(shop.target, database_name=other)):
        again = as_made(order, role_name=new_order().login.role_name)
        apply_grant(target, again)
        end_grant(target, to_end(again))
    capability = order.set.capability
    with shop.as_dba(other) as dba:
        role = sql.Identifier(capability)
        dba.execute(sql.SQL("CREATE POLICY there ON app.orders TO {} USING (true)").format(role))

    report = retire_capabilities(shop.target, order.login.installation, set())

    assert report.dropped == ()
    assert "there on app.orders" in report.kept[capability]
    assert other in report.kept[capability]
    assert policies(shop, other) == {("there", (capability,))}
    apply_grant(shop.target, (live := as_made(order, role_name=new_order().login.role_name)))
    with shop.log_in(live) as user:
        user.execute("SELECT * FROM app.orders")
    end_grant(shop.target, to_end(live))
