"""A database that lets the portal in no more keeps nobody in: any other one of the cluster serves for an ending."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.stack import wait_for_replay
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions, target_of

WITH_SCHEMA = permissions("SELECT", "app", "orders")


@pytest.fixture(params=[18, 14])
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    return new_shop(request.param)


def applied(shop: Shop) -> GrantOrder:
    order = of_installation(new_order(WITH_SCHEMA), new_installation())
    receipt = apply_grant(shop.target, order)
    close_pools()
    return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)


def on_server(shop: Shop, text: str, **names: str) -> None:
    with shop.server.connect() as dba:
        dba.execute(
            sql.SQL(text).format(db=sql.Identifier(shop.database), **{k: sql.Identifier(v) for k, v in names.items()})
        )  # type: ignore[arg-type]


def is_cut(user: psycopg.Connection) -> bool:
    try:
        user.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_a_renamed_database_keeps_nobody_in(shop: Shop) -> None:
    """What the login left there is handed over as well: its dependencies name the database by its OID."""
    order, renamed = applied(shop), f"renamed_{secrets.token_hex(3)}"
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE SCHEMA play AUTHORIZATION {}").format(sql.Identifier(order.login.role_name)))
    on_server(shop, "ALTER DATABASE {db} RENAME TO {renamed}", renamed=renamed)
    user = shop.server.connect(renamed, order.login.role_name, order.password)
    receipt = end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert (
        shop.server.connect().execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [order.login.role_name]).fetchall()
        == []
    )
    [note] = [note for note in receipt.notes if shop.database in note]
    assert f"known in {renamed}" in note
    assert "through “postgres”" in note
    assert "Correct the database's name" in note
    assert receipt.reassigned == (renamed,)
    with shop.server.connect(renamed) as dba:
        owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'play'"
        assert dba.execute(owner).fetchall() == [("jit_quarantine",)]


def test_a_dropped_database_keeps_nobody_in(shop: Shop) -> None:
    order = applied(shop)
    user = shop.server.connect("postgres", order.login.role_name, order.password)
    on_server(shop, "DROP DATABASE {db} WITH (FORCE)")
    receipt = end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert any("any more." in note for note in receipt.notes)
    with pytest.raises(psycopg.OperationalError):
        shop.server.connect("postgres", order.login.role_name, order.password)


SHUT = {
    "takes nobody": "ALTER DATABASE {db} WITH ALLOW_CONNECTIONS false",
    "not this login": "REVOKE CONNECT ON DATABASE {db} FROM PUBLIC, {login}; REVOKE ALL ON DATABASE {db} FROM {owner}",
    "is full": "ALTER DATABASE {db} CONNECTION LIMIT 0",
}


@pytest.mark.parametrize("text", SHUT.values(), ids=SHUT.keys())
def test_a_database_that_lets_nobody_in_keeps_nobody_in(shop: Shop, text: str) -> None:
    """A person may fill a database up to its own limit; the others are a DBA's doing."""
    order = applied(shop)
    user = shop.log_in(order)
    on_server(shop, text, login=shop.target.username, owner=f"{shop.database}_owner")
    receipt = end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert any("did not let the portal in" in note for note in receipt.notes)
    on_server(shop, "ALTER DATABASE {db} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1")
    assert shop.roles(order) == 0


def test_where_the_portal_is_let_into_its_database_alone_it_says_what_is_wrong(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> None:
    shop = shop_on(own_server(18))
    order = applied(shop)
    shop.server.stop()
    shop.server.hba = [
        "hostssl all postgres 127.0.0.0/8 scram-sha-256",
        f"hostssl {shop.database} all 127.0.0.0/8 scram-sha-256",
    ]
    shop.server.start()
    on_server(shop, "ALTER DATABASE {db} RENAME TO elsewhere")
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))
    assert refusal.value.sqlstate == "3D000"
    on_server(shop, "ALTER DATABASE elsewhere RENAME TO {db}")
    end_grant(shop.target, to_end(order))


def test_another_server_at_the_address_proves_nothing(
    new_shop: Callable[..., Shop], own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> None:
    """It has no such database, and other ones that let the portal in: the login lives on where it was made."""
    shop, other = new_shop(18), shop_on(own_server(18))
    order = applied(shop)
    elsewhere = replace(other.target, database_name=shop.database)
    with pytest.raises(TargetError, match="another PostgreSQL server"):
        end_grant(elsewhere, to_end(order))
    assert shop.roles(order) == 1
    end_grant(shop.target, to_end(order))


def test_a_renamed_database_is_left_on_the_standby_as_well(
    own_server: Callable[..., PostgresServer],
    own_standby: Callable[..., PostgresServer],
    shop_on: Callable[..., Shop],
    certificate_authority: CertificateAuthority,
    servers_directory: Path,
) -> None:
    shop = shop_on(own_server(18))
    standby = own_standby(shop.server)
    target = target_of(standby, certificate_authority, shop.database, shop.target.username)
    target = replace(target, name="replica", primary=shop.target)
    order = of_installation(new_order(WITH_SCHEMA), new_installation())
    receipt = apply_grant(target, order)
    close_pools()
    order = as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)
    on_server(shop, "ALTER DATABASE {db} RENAME TO elsewhere")
    wait_for_replay(shop.server, standby)
    user = standby.connect("elsewhere", order.login.role_name, order.password)
    ended = end_grant(target, to_end(order))
    assert is_cut(user)
    assert [s.server for s in ended.sessions] == ["standby"]
