"""What everybody may do: seen, never changed, never given by accident; and what a login cannot do to itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.postgres import VERSIONS
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")
PUBLIC_ACLS = """
    SELECT kind, name, x.privilege_type FROM (
        SELECT 'relation' AS kind, c.oid::regclass::text AS name, coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
        FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm')
        UNION ALL
        SELECT 'schema', n.nspname::text, coalesce(n.nspacl, acldefault('n', n.nspowner)) FROM pg_namespace n
        UNION ALL
        SELECT 'routine', p.oid::text, coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
        UNION ALL
        SELECT 'database', d.datname::text, coalesce(d.datacl, acldefault('d', d.datdba)) FROM pg_database d
        WHERE d.datname = current_database()
    ) o, aclexplode(o.acl) x
    WHERE x.grantee = 0 AND name !~ '^pg_(toast_)?temp'
    ORDER BY 1, 2, 3
"""


@pytest.mark.parametrize("name", ["public", "none", "pg_monitor", "PUBLIC", 'jit_portal"', "postgres", "jit_portal"])
def test_a_role_of_a_reserved_name_is_neither_made_nor_ended(shop: Shop, name: str) -> None:
    """GRANT .. TO "public" grants to everybody, quoted or not."""
    with shop.as_dba() as dba:
        before = dba.execute(PUBLIC_ACLS).fetchall()
        order = as_made(new_order(ORDERS), role_name=name)
        for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
            with pytest.raises(TargetRefused):
                act(shop.target, asked)
        assert dba.execute(PUBLIC_ACLS).fetchall() == before


@pytest.mark.parametrize("version", [18, 14])
def test_what_everybody_may_is_left_as_it_is(new_shop: Callable[..., Shop], version: int) -> None:
    """PUBLIC cannot be subtracted from one role, so it is told and never changed."""
    shop = new_shop(version)
    with shop.as_dba() as dba:
        dba.execute("GRANT DELETE ON app.orders TO PUBLIC; GRANT USAGE ON SCHEMA secret TO PUBLIC")
        before = dba.execute(PUBLIC_ACLS).fetchall()
        order = new_order(permissions("SELECT,INSERT", "*", "*"))
        assert apply_grant(shop.target, order).public_extras == 1
        end_grant(shop.target, to_end(order))
        assert dba.execute(PUBLIC_ACLS).fetchall() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_without_an_access_list_lets_everybody_connect(new_shop: Callable[..., Shop], version: int) -> None:
    """NULL is not empty. Where CONNECT cannot be passed on, PUBLIC's is enough."""
    shop = new_shop(version)
    with shop.as_dba() as dba:
        name, owner = sql.Identifier(shop.database), sql.Identifier(f"{shop.database}_owner")
        dba.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
        dba.execute(
            sql.SQL("REVOKE ALL ON DATABASE {} FROM {}, {}").format(name, owner, sql.Identifier(shop.target.username))
        )
        dba.execute("UPDATE pg_database SET datacl = NULL WHERE datname = current_database()")
    close_pools()
    order = new_order(ORDERS)
    apply_grant(shop.target, order)
    shop.log_in(order).close()
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_login_cannot_give_itself_time_sessions_or_another_name(new_shop: Callable[..., Shop], version: int) -> None:
    """Its own password and settings are its own; what bounds it is not."""
    shop = new_shop(version)
    order = new_order(ORDERS)
    receipt = apply_grant(replace(shop.target, max_connections=2), order)
    me = sql.Identifier(order.login.role_name)
    with shop.log_in(order) as user:
        for words in (
            "ALTER ROLE {} VALID UNTIL 'infinity'",
            "ALTER ROLE {} CONNECTION LIMIT 100",
            "ALTER ROLE {} RENAME TO somebody_else",
            "ALTER ROLE {} CREATEROLE",
            "COMMENT ON ROLE {} IS 'mine'",
            "CREATE ROLE friend_of_{}",
            "GRANT pg_read_all_data TO {}",
        ):
            with pytest.raises(psycopg.Error):
                user.execute(sql.SQL(words.replace("friend_of_{}", "a_friend")).format(me))  # type: ignore[arg-type]
        user.execute(sql.SQL("ALTER ROLE {} PASSWORD 'my own'").format(me))
        user.execute(sql.SQL("ALTER ROLE {} SET work_mem = '1MB'").format(me))
        user.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
        user.execute("SELECT lo_create(0)")
    with shop.as_dba() as dba:
        facts = "SELECT rolvaliduntil, rolconnlimit FROM pg_roles WHERE oid = %s"
        assert dba.execute(facts, [receipt.role_oid]).fetchall() == [(receipt.valid_until, 2)]
        end_grant(shop.target, to_end(order))
        settings = "SELECT count(*) FROM pg_db_role_setting WHERE setrole = %s"
        assert dba.execute(settings, [receipt.role_oid]).fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError):
        shop.server.connect(shop.database, order.login.role_name, "my own")


@pytest.mark.parametrize("version", [18, 14])
def test_what_a_login_makes_in_its_own_session_hinders_nobody(new_shop: Callable[..., Shop], version: int) -> None:
    """Everybody may make temporary tables and large objects; two databases, one login."""
    shop = new_shop(version)
    first, second = new_order(ORDERS), new_order(ORDERS)
    apply_grant(shop.target, first)
    user = shop.log_in(first)
    user.execute("CREATE TEMP TABLE orders (id int); GRANT ALL ON orders TO PUBLIC; SELECT lo_create(0)")
    assert [t.schema for t in apply_grant(shop.target, second).tables] == ["app"]
    end_grant(shop.target, to_end(second))
    assert end_grant(shop.target, to_end(first)).reassigned == (shop.database,)
