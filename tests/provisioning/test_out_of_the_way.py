"""What a person left among the application's own is not in its way, and what they opened is closed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.statements import advice
from tests.orders import as_made, to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import Shop, new_order, permissions
from tests.provisioning.dba import do_as_told

VERSIONS = [18, 16, 14]
SHADOWS = """
CREATE FUNCTION app.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT upper($1::text)';
CREATE FUNCTION app.rounded(int DEFAULT 0) RETURNS int LANGUAGE sql AS 'SELECT 7';
CREATE PROCEDURE app.tidy(int DEFAULT 0) LANGUAGE sql AS 'SELECT 7';
CREATE AGGREGATE app.max(varchar) (SFUNC = array_append, STYPE = varchar[], INITCOND = '{}');
CREATE AGGREGATE app.mode(ORDER BY varchar) (SFUNC = array_append, STYPE = varchar[], INITCOND = '{}');
CREATE FUNCTION app.glued(varchar, varchar) RETURNS text LANGUAGE sql AS 'SELECT $1::text || $2::text';
CREATE OPERATOR app.|| (FUNCTION = app.glued, LEFTARG = varchar, RIGHTARG = varchar);
CREATE OPERATOR app.- (FUNCTION = app.lower, RIGHTARG = varchar);
CREATE FUNCTION app.nobody_elses() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OPERATOR app.<@!> (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int);
"""
APPLICATION = (
    "SELECT lower(name) FROM (SELECT 'Ann'::varchar AS name) t",
    "SELECT app.rounded()",
    "CALL app.tidy()",
    "SELECT max(name) FROM (SELECT 'Ann'::varchar AS name) t",
    "SELECT mode() WITHIN GROUP (ORDER BY name) FROM (SELECT 'Ann'::varchar AS name) t",
    "SELECT name || name FROM (SELECT 'Ann'::varchar AS name) t",
)


@contextmanager
def as_application(shop: Shop) -> Iterator[psycopg.Connection]:
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        conn.execute("SET search_path = app, public")
        yield conn


def applied(shop: Shop) -> GrantOrder:
    """Let everybody create beside the application, and give somebody a login."""
    grants = "SELECT,TRUNCATE" if shop.target.username == "postgres" else "SELECT"
    with as_application(shop) as app:
        app.execute("GRANT CREATE, USAGE ON SCHEMA app TO PUBLIC")
        app.execute("CREATE FUNCTION app.rounded() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        app.execute("CREATE PROCEDURE app.tidy() LANGUAGE sql AS 'SELECT 1'")
    order = new_order(permissions(grants))
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def answers(shop: Shop) -> list[object]:
    """What comes of the application's statements, errors too."""
    found: list[object] = []
    with as_application(shop) as app:
        for statement in APPLICATION:
            try:
                cursor = app.execute(statement)  # type: ignore[call-overload]
                found.append(cursor.fetchall() if cursor.description else None)
            except psycopg.Error as error:
                found.append(type(error))
    return found


@pytest.mark.parametrize("is_superuser", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_shadows_the_applications_names_is_out_of_the_way(
    new_shop: Callable[..., Shop], version: int, is_superuser: bool
) -> None:
    shop = new_shop(version, is_superuser=is_superuser)
    order = applied(shop)
    before = answers(shop)
    with shop.log_in(order) as user:
        user.execute(SHADOWS)
    during = answers(shop)
    assert during != before

    notes = "\n".join(end_grant(shop.target, to_end(order)).notes)

    assert answers(shop) == before
    assert "routine app.lower(" in notes or "app.lower(character varying) is now called jit_left_" in notes
    assert "CREATE OPERATOR app.|| (FUNCTION = app.glued" in notes
    assert "CREATE OPERATOR app.- (FUNCTION = " in notes
    assert "It was dropped." in notes
    with shop.as_dba() as conn:
        kept = "SELECT to_regprocedure('app.nobody_elses()'), to_regoperator('app.<@!>(int, int)')"
        assert None not in (conn.execute(kept).fetchone() or ()), "what is in nobody's way keeps its name"
        count = "SELECT count(*) FROM pg_proc WHERE proname ~ '^jit_left_' AND pg_get_userbyid(proowner) = %s"
        assert conn.execute(count, ["jit_quarantine"]).fetchone() == (5,)


@proves(advice.drop_operator)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_operator_that_something_uses_is_told(new_shop: Callable[..., Shop], version: int) -> None:
    """The application works as before when a superuser did as told."""
    shop = new_shop(version)
    order = applied(shop)
    before = answers(shop)
    with shop.log_in(order) as user:
        user.execute(SHADOWS + "CREATE VIEW app.uses AS SELECT 'a'::varchar OPERATOR(app.||) 'b'::varchar AS both")
    [note] = [note for note in end_grant(shop.target, to_end(order)).notes if "DROP OPERATOR" in note]
    assert "DROP OPERATOR app.|| (character varying, character varying) CASCADE" in note
    assert answers(shop) != before
    do_as_told(shop, note)
    assert answers(shop) == before


def test_an_operator_that_only_an_index_used_goes_with_it(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(18)
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute(
            SHADOWS + "ALTER FUNCTION app.glued IMMUTABLE; CREATE TABLE app.own (name varchar);"
            " CREATE INDEX ON app.own ((name OPERATOR(app.||) name))"
        )
    notes = "\n".join(end_grant(shop.target, to_end(order)).notes)
    assert "CASCADE" not in notes
    assert "CREATE OPERATOR app.|| (FUNCTION = app.glued" in notes


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_that_the_login_made_is_open_to_nobody(new_shop: Callable[..., Shop], version: int) -> None:
    shop = new_shop(version)
    order = applied(shop)
    name = f"made_{secrets.token_hex(4)}"
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(order.login.role_name)))
    with shop.log_in(order) as user:
        user.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with shop.server.connect(name, order.login.role_name, order.password) as inside:
        inside.execute("SELECT lo_create(0)")

    receipt = end_grant(shop.target, to_end(order))

    assert any(name in note and "only its new owner and the portal" in note for note in receipt.notes)
    with shop.as_dba() as dba:
        query = "SELECT has_database_privilege(%s, %s, %s)"
        assert dba.execute(query, ["public", name, "CONNECT"]).fetchone() == (False,)
        assert dba.execute(query, ["public", name, "TEMPORARY"]).fetchone() == (False,)
        assert dba.execute(query, [shop.target.username, name, "CONNECT"]).fetchone() == (True,)
        dba.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
