"""Many of everything: tables beyond the server's lock table, a thousand standing logins, a long list of names."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.names import Installation, new_login_role_name
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from devstack.postgres import PostgresServer
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_order, permissions

TABLES, STANDING = 1_500, 1_000


def make_tables(shop: Shop, count: int) -> None:
    """Make tables a few at a time: CREATE TABLE takes locks too."""
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute("CREATE SCHEMA app")
        for start in range(0, count, 100):
            dba.execute(
                f"DO $$BEGIN FOR i IN {start}..{start + 99} LOOP"  # type: ignore[arg-type]
                " EXECUTE format('CREATE TABLE app.t%s (id int)', i); END LOOP; END$$"
            )


@pytest.mark.parametrize("version", [18, 14])
def test_more_tables_than_the_server_has_locks(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    """In one transaction it is 53200, "out of shared memory", also for the application's sessions."""
    server = own_server(
        version, max_locks_per_transaction=10, max_connections=20, max_worker_processes=2, max_wal_senders=0
    )
    shop = shop_on(server, tables="SELECT 1")
    make_tables(shop, TABLES)
    order = of_installation(new_order(permissions("SELECT", "app", "*")), Installation("inst-many", "key"))
    assert apply_grant(shop.target, order, on_progress=lambda: None).table_count == TABLES
    end_grant(shop.target, to_end(order))
    report = retire_capabilities(shop.target, Installation("inst-many", "key"), set())
    assert (len(report.dropped), report.kept) == (1, {})
    with shop.as_dba() as dba:
        row = dba.execute("SELECT count(*) FROM pg_class WHERE relacl::text LIKE '%jitb%'").fetchone()
        assert row == (0,)
        every = sql.SQL(", ").join(sql.Identifier("app", f"t{number}") for number in range(TABLES))
        with pytest.raises(psycopg.errors.OutOfMemory):
            dba.execute(sql.SQL("BEGIN; LOCK TABLE {} IN ACCESS SHARE MODE").format(every))


@pytest.mark.parametrize("version", [16])
def test_a_thousand_standing_logins(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    """From 16 on the creator holds ADMIN on all of them, and each GRANT looks through that list."""
    shop = shop_on(own_server(version))
    first = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, first)
    capability = sql.Identifier(first.set.capability)
    standing = [
        as_made(first, grant_id=secrets.token_hex(8), role_name=new_login_role_name("many@example.com"))
        for _ in range(STANDING)
    ]
    with shop.as_dba() as dba:
        dba.execute("SET ROLE jit_portal")
        dba.execute(sql.SQL("; ").join(made(order, capability) for order in standing).as_bytes(dba))
    order = new_order(first.set.permissions)
    apply_grant(shop.target, order)  # in the time that the engine gives itself
    shop.log_in(order).close()
    assert not end_grant(shop.target, to_end(order)).role_was_absent

    outcomes = end_grants(shop.target, [to_end(order) for order in standing[:250]])
    assert all(isinstance(outcome, EndReceipt) for outcome in outcomes)
    with shop.as_dba() as dba:
        left = dba.execute("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_many_'").fetchone()
    assert left == (STANDING - 250,)
    end_grant(shop.target, to_end(first))


def made(order: GrantOrder, capability: sql.Identifier) -> sql.Composed:
    """Return what makes a login as the portal does, but for its password."""
    role = sql.Identifier(order.login.role_name)
    tag = sql.Literal(order.login.tag)
    return sql.SQL("CREATE ROLE {0} LOGIN; COMMENT ON ROLE {0} IS {1}; GRANT {2} TO {0}").format(role, tag, capability)


def test_a_set_of_a_thousand_names(new_shop: Callable[..., Shop]) -> None:
    """The longest set that may be written; most of it is not there, and is said not to be."""
    shop = new_shop()
    names = ["orders", "customers", *(f"missing_{number:04}_{'x' * 40}" for number in range(998))]
    order = new_order(permissions("SELECT,INSERT", "app", ",".join(names)))
    receipt = apply_grant(shop.target, order)
    assert receipt.table_count == 2
    assert len(receipt.unmatched) == 998
    end_grant(shop.target, to_end(order))
