"""What a login or a capability role passed on: taken back with it, and never in the way of anything."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from psycopg import sql

from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from accessmgmt.provisioning.leftovers.passed_on import PassedOn, TakenBack, find_passed_on, take_back_passed_on
from accessmgmt.provisioning.session.deadline import Budget
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import INSTALLATION, Shop, new_installation, new_order, permissions

VERSIONS = [18, 16, 14]


def applied(
    shop: Shop, grants: str = "SELECT", tables: str = "orders", installation: Installation = INSTALLATION
) -> GrantOrder:
    order = of_installation(new_order(permissions(grants, "app", tables)), installation)
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def new_role(shop: Shop) -> str:
    """Make a permanent role of the server, nobody's login."""
    name = f"permanent_{secrets.token_hex(4)}"
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        dba.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {}").format(sql.Identifier(name)))
    return name


def run_as_dba(shop: Shop, text: str, **names: str) -> None:
    with shop.as_dba() as dba:
        dba.execute(sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()}))  # type: ignore[arg-type]


def may_read(shop: Shop, role: str, table: str = "app.orders") -> bool:
    with shop.as_dba() as dba:
        return dba.execute("SELECT has_table_privilege(%s, %s, 'SELECT')", [role, table]).fetchone() == (True,)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_members_passed_on_from_a_capability_role_goes_at_the_next_grant(
    new_shop: Callable[..., Shop], version: int
) -> None:
    """A DBA gave it WITH GRANT OPTION, once: every member may then give in its name, and REVOKE needs CASCADE."""
    shop = new_shop(version)
    installation = new_installation()
    first = applied(shop, installation=installation)
    capability = first.set.capability
    friend = new_role(shop)
    run_as_dba(shop, "GRANT SELECT ON app.orders TO {c} WITH GRANT OPTION", c=capability)
    with shop.log_in(first) as user:
        user.execute(sql.SQL("GRANT SELECT ON app.orders TO {}").format(sql.Identifier(friend)))
        user.execute(sql.SQL("GRANT SELECT (item) ON app.orders TO {}").format(sql.Identifier(friend)))
    assert may_read(shop, friend)

    second = applied(shop, installation=installation)

    assert not may_read(shop, friend)
    with shop.as_dba() as dba:
        column = "SELECT has_column_privilege(%s, 'app.orders', 'item', 'SELECT')"
        assert dba.execute(column, [friend]).fetchone() == (False,)
    for order in (first, second):
        with shop.log_in(order) as user:
            user.execute("SELECT * FROM app.orders")
        end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_capability_role_is_retired_with_what_was_passed_on_from_it(
    new_shop: Callable[..., Shop], version: int
) -> None:
    shop = new_shop(version)
    installation = new_installation()
    order = applied(shop, installation=installation)
    capability = order.set.capability
    friend, owner = new_role(shop), f"{shop.database}_owner"
    run_as_dba(shop, "SET ROLE {o}; CREATE FUNCTION app.one() RETURNS int LANGUAGE sql AS 'SELECT 1'", o=owner)
    for what in (
        "SELECT ON app.orders",
        "USAGE ON SCHEMA app",
        "USAGE ON SEQUENCE app.free_numbers",
        "EXECUTE ON FUNCTION app.one()",
    ):
        run_as_dba(shop, f"GRANT {what} TO {{c}} WITH GRANT OPTION", c=capability)
        with shop.log_in(order) as user:
            user.execute(sql.SQL(f"GRANT {what} TO {{}}").format(sql.Identifier(friend)))  # type: ignore[arg-type]
    end_grant(shop.target, to_end(order))
    report = retire_capabilities(shop.target, installation, set())
    assert (report.dropped, report.kept) == ((capability,), {})
    assert not may_read(shop, friend)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_passed_on_is_found_and_taken_back_alone(new_shop: Callable[..., Shop], version: int) -> None:
    """The role keeps what it has, and loses only the right to pass it on."""
    shop = new_shop(version)
    order = applied(shop, installation=new_installation())
    capability = order.set.capability
    friend = new_role(shop)
    run_as_dba(shop, "GRANT SELECT ON app.orders TO {c} WITH GRANT OPTION", c=capability)
    with shop.log_in(order) as user:
        user.execute(sql.SQL("GRANT SELECT (id), SELECT ON app.orders TO {}").format(sql.Identifier(friend)))
    assert order.login.role_oid is not None
    with shop.as_dba() as dba:
        oid = dba.execute("SELECT %s::regrole::oid::int8", [capability]).fetchall()[0][0]
    with admin_session(shop.target, Budget(20)) as session:
        given = PassedOn(capability, friend, "TABLE", "app.orders", ("SELECT",))
        assert find_passed_on(session, [oid, order.login.role_oid]) == [given]
        assert take_back_passed_on(session, capability, oid) == TakenBack([given], [])
        assert find_passed_on(session, [oid]) == []
        assert take_back_passed_on(session, capability, oid) == TakenBack()
    assert may_read(shop, capability)
    assert not may_read(shop, friend)
    with shop.as_dba() as dba:
        column = "SELECT has_column_privilege(%s, 'app.orders', 'id', 'SELECT')"
        assert dba.execute(column, [friend]).fetchone() == (False,)
    end_grant(shop.target, to_end(order))
