"""Databases that are not UTF-8: names go to and fro as they are, and one that cannot be there is simply not there."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from devstack.recipe import prepare_target
from tests.orders import to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions


def encoded_target(shop: Shop, encoding: str) -> Target:
    """Make a database of this encoding beside the shop's, with one table in a schema of odd names."""
    name, owner = f"{encoding.lower()}_{secrets.token_hex(4)}", sql.Identifier(f"{shop.database}_owner")
    with shop.as_dba() as dba:
        words = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}"
        dba.execute(sql.SQL(words).format(sql.Identifier(name), owner, sql.Literal(encoding)))
        prepare_target(dba, login=shop.target.username, password=ADMIN_PASSWORD, databases=[name])
    with shop.as_dba(name) as dba:
        dba.execute("SET client_encoding = 'UTF8'")
        dba.execute(sql.SQL("SET ROLE {}").format(owner))
        dba.execute('CREATE SCHEMA "Größe"; CREATE TABLE "Größe"."été" (id serial)')
    return replace(shop.target, database_name=name)


@pytest.mark.parametrize("version", [18, 14])
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_names_of_another_encoding(new_shop: Callable[..., Shop], version: int, encoding: str) -> None:
    """The client speaks UTF8, whatever the database stores."""
    shop = new_shop(version)
    target = encoded_target(shop, encoding)
    order = new_order(permissions("SELECT,INSERT", "Größe", "été"))
    receipt = apply_grant(target, order)
    assert [(table.schema, table.table) for table in receipt.tables] == [("Größe", "été")]
    with shop.server.connect(
        target.database_name, order.login.role_name, order.password, client_encoding="UTF8"
    ) as user:
        user.execute('INSERT INTO "Größe"."été" DEFAULT VALUES')
    end_grant(target, to_end(order))


@pytest.mark.parametrize("version", [18, 14])
def test_a_name_that_the_encoding_does_not_have(new_shop: Callable[..., Shop], version: int) -> None:
    """22P05 comes instead of "no rows": a refusal with words, and no login."""
    shop = new_shop(version)
    target = encoded_target(shop, "LATIN1")
    order = new_order(permissions("SELECT", "Größe", "żółw"))
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(target, order)
    assert refusal.value.sqlstate in {"22P05", "42P01"}
    assert shop.roles(order) == 0
