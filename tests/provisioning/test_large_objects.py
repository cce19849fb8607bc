"""What a login left in several databases of one server, large objects among it, whatever database its grant is for."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from devstack.recipe import prepare_target
from tests.orders import to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions


def another_database(shop: Shop) -> str:
    """Make a database that the portal may enter."""
    name = f"more_{secrets.token_hex(4)}"
    with shop.as_dba() as dba:
        owner = sql.Identifier(f"{shop.database}_owner")
        dba.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner))
        prepare_target(dba, login=shop.target.username, password=ADMIN_PASSWORD, databases=[name])
    return name


@pytest.mark.parametrize("version", [18, 16, 14])
def test_large_objects_in_two_databases(new_shop: Callable[..., Shop], version: int) -> None:
    """An "object in database x" keeps DROP ROLE away, and only from inside x it can be handed over."""
    shop = new_shop(version)
    others = [another_database(shop), another_database(shop)]
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    made: dict[str, int] = {}
    for name in others:
        with shop.server.connect(name, order.login.role_name, order.password) as user:
            made[name] = user.execute("SELECT lo_from_bytea(0, 'kept')").fetchall()[0][0]
    assert set(end_grant(shop.target, to_end(order)).reassigned) == set(others)
    assert shop.roles(order) == 0
    for name, oid in made.items():
        with shop.as_dba(name) as dba:
            query = "SELECT lomowner::regrole::text, lo_get(oid) FROM pg_largeobject_metadata WHERE oid = %s"
            assert dba.execute(query, [oid]).fetchall() == [("jit_quarantine", b"kept")]


def test_what_comes_into_being_while_it_is_cleaned_up_is_cleaned_up_too(new_shop: Callable[..., Shop]) -> None:
    """2BP01 at DROP ROLE: look again and clean again, at most three times."""
    shop = new_shop(18)
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    with shop.log_in(order) as user:
        user.execute("SELECT lo_create(0)")  # so that it is cleaned up behind, and not just dropped
    drops = 0

    def give_it_something(description: str) -> None:
        nonlocal drops
        if description == "drop the login role":
            drops += 1
            if drops == 1:
                with shop.as_dba() as dba:
                    dba.execute("CREATE SCHEMA late")
                    dba.execute(sql.SQL("ALTER SCHEMA late OWNER TO {}").format(sql.Identifier(order.login.role_name)))
                    database = sql.Identifier(shop.database)
                    dba.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO jit_quarantine").format(database))

    conversation.before_statement = give_it_something
    try:
        receipt = end_grant(shop.target, to_end(order))
    finally:
        conversation.before_statement = None
    assert drops >= 2
    assert receipt.reassigned == (shop.database,)
    with shop.as_dba() as dba:
        row = dba.execute("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'late'").fetchone()
    assert row == ("jit_quarantine",)


@pytest.mark.parametrize("version", [18, 14])
def test_temporary_tables_of_a_live_session_hold_nothing_up(new_shop: Callable[..., Shop], version: int) -> None:
    """They make it "owner of table pg_temp_8.q" until the session has gone."""
    shop = new_shop(version)
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    user = shop.log_in(order)
    user.execute("CREATE TEMP TABLE q (id serial); CREATE TEMP VIEW v AS SELECT * FROM q")
    assert end_grant(shop.target, to_end(order)).reassigned == ()
    assert shop.roles(order) == 0
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
