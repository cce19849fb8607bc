"""What a permission set means on every version: kinds of relations, privileges, schemas, names, row level security."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet, Privilege
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, make_shop, new_installation, new_order, permissions

VERSIONS = [18, 17, 16, 15, 14]
FOREIGN = """
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER there FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE app.remote (id int) SERVER there;
ALTER FOREIGN TABLE app.remote OWNER TO {owner};
"""


@pytest.fixture(scope="module")
def kinds_shops(target_server, certificate_authority):  # type: ignore[no-untyped-def]
    """Shops with every kind of relation, one a version, for tests that change nothing there."""
    made: dict[int, Shop] = {}

    def shop_of(version: int) -> Shop:
        if version not in made:
            made[version] = make_shop(target_server(version), certificate_authority, is_superuser=False)
            with made[version].as_dba() as conn:
                owner = sql.Identifier(f"{made[version].database}_owner")
                conn.execute(sql.SQL(FOREIGN).format(owner=owner))
        return made[version]

    return shop_of


@pytest.fixture(params=VERSIONS)
def shop(request: pytest.FixtureRequest, kinds_shops: Callable[[int], Shop]) -> Shop:
    return kinds_shops(request.param)


def order_of(wanted: PermissionSet) -> GrantOrder:
    """An order of an installation of its own: no capability role is there yet."""
    return of_installation(new_order(wanted), new_installation())


def as_owner(shop: Shop, *statements: str) -> None:
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for statement in statements:
            conn.execute(statement)  # type: ignore[call-overload]


def test_every_kind_of_relation(shop: Shop) -> None:
    """Tables, partitioned tables, partitions, views, materialized views, foreign tables."""
    order = order_of(permissions("SELECT", "app", "*"))
    receipt = apply_grant(shop.target, order)
    kinds = {table.table: table.kind for table in receipt.tables}
    assert len(kinds) == receipt.table_count == 11
    assert kinds["orders"] == kinds["measures_1"] == "table"
    assert (kinds["measures"], kinds["recent"]) == ("partitioned table", "view")
    assert (kinds["totals"], kinds["remote"]) == ("materialized view", "foreign table")
    with shop.log_in(order) as user:
        for name, kind in kinds.items():
            if kind != "foreign table":
                user.execute(sql.SQL("SELECT * FROM app.{}").format(sql.Identifier(name)))
            for privilege in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                row = user.execute("SELECT has_table_privilege(%s, %s)", [f'app."{name}"', privilege]).fetchone()
                assert row == (False,), (name, privilege)
    end_grant(shop.target, to_end(order))


def test_all_means_every_privilege_of_this_version_and_no_grant_option(shop: Shop) -> None:
    """MAINTAIN exists from 17 on."""
    order = order_of(permissions("ALL", "app", "orders,totals"))
    receipt = apply_grant(shop.target, order)
    wanted = {p.value for p in Privilege} - (set() if shop.server.version >= 17 else {"MAINTAIN"})
    assert {table.table: set(table.privileges) for table in receipt.tables} == {"orders": wanted, "totals": wanted}
    with shop.as_dba() as conn:
        rows = conn.execute(
            "SELECT a.privilege_type, a.is_grantable FROM pg_class c, aclexplode(c.relacl) a, pg_roles r"
            " WHERE c.oid = 'app.orders'::regclass AND r.oid = a.grantee AND r.rolname = %s",
            [order.set.capability],
        ).fetchall()
    assert {name for name, _ in rows} == wanted
    assert not any(is_grantable for _, is_grantable in rows)
    with shop.log_in(order) as user:
        user.execute("INSERT INTO app.orders (item) VALUES ('all'); DELETE FROM app.orders WHERE item = 'all'")
        if shop.server.version >= 17:
            user.execute("REFRESH MATERIALIZED VIEW app.totals")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                user.execute("REFRESH MATERIALIZED VIEW app.totals")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute("DROP TABLE app.orders")
    end_grant(shop.target, to_end(order))


def test_partitions_are_reached_through_their_parent(shop: Shop) -> None:
    order = order_of(permissions("SELECT,INSERT", "app", "measures"))
    assert apply_grant(shop.target, order).table_count == 1
    new = f"measures_{secrets.token_hex(3)}"
    as_owner(shop, f"CREATE TABLE app.{new} PARTITION OF app.measures DEFAULT")
    with shop.log_in(order) as user:
        user.execute("INSERT INTO app.measures VALUES (1, '2024-05-05'), (2, '2031-01-01')")
        assert user.execute("SELECT count(*) FROM app.measures WHERE id < 3").fetchone() == (2,)
        for partition in ("measures_1", new):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                user.execute(sql.SQL("SELECT * FROM app.{}").format(sql.Identifier(partition)))
    as_owner(shop, "TRUNCATE app.measures", f"DROP TABLE app.{new}")
    end_grant(shop.target, to_end(order))


def test_a_view_reaches_what_its_owner_may(shop: Shop) -> None:
    """With the owner's rights, so the base table needs no privilege and gets none."""
    order = order_of(permissions("SELECT", "app", "recent"))
    apply_grant(shop.target, order)
    with shop.log_in(order) as user:
        assert user.execute("SELECT item FROM app.recent LIMIT 1").fetchall() == [("tea",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute("SELECT * FROM app.orders")
    end_grant(shop.target, to_end(order))


def test_sequences_are_given_for_writing_only(shop: Shop) -> None:
    """Nothing for those who only read; a sequence of another schema is none of theirs."""
    reader, writer = order_of(permissions("SELECT", "app", "*")), order_of(permissions("INSERT", "app", "*"))
    for order, usable in ((reader, set()), (writer, {"orders_id_seq", "customers_id_seq", "free_numbers"})):
        apply_grant(shop.target, order)
        with shop.as_dba() as conn:
            rows = conn.execute(
                "SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a, pg_roles r"
                " WHERE c.relkind = 'S' AND r.oid = a.grantee AND r.rolname = %s",
                [order.set.capability],
            ).fetchall()
        assert {(name, word) for name in usable for word in ("USAGE", "SELECT")} == set(rows)
        end_grant(shop.target, to_end(order))


def test_schemas_by_pattern_by_name_and_all(shop: Shop) -> None:
    for schemas, expected in (("a*", {"app"}), ("app,sec*", {"app", "secret"}), ("*", {"app", "secret"})):
        order = order_of(permissions("SELECT", schemas, "orders,salaries"))
        receipt = apply_grant(shop.target, order)
        assert {table.schema for table in receipt.tables} == expected
        end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("schema", ["pg_catalog", "information_schema", "pg_*", "nowhere", "APP", "ap_"])
def test_system_schemas_and_near_misses_are_never_meant(shop: Shop, schema: str) -> None:
    order = order_of(permissions("SELECT", schema, "*"))
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(shop.target, order)
    assert schema in refusal.value.why
    with shop.as_dba() as conn:
        name = order.set.capability
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [name]).fetchall() == [(0,)]


def test_what_matches_nothing_is_reported_and_not_guessed(shop: Shop) -> None:
    order = order_of(permissions("SELECT", "app,gone", "orders,Orders,nothing_*"))
    receipt = apply_grant(shop.target, order)
    assert [table.table for table in receipt.tables] == ["orders"]
    assert set(receipt.unmatched) == {"schema gone", "table Orders", "table nothing_*"}
    end_grant(shop.target, to_end(order))


def test_row_level_security_gives_no_rows_and_no_error_until_a_policy_names_the_role(
    new_shop: Callable[..., Shop],
) -> None:
    """A policy for the capability role holds for every login that is a member."""
    for version in (18, 14):
        shop = new_shop(version)
        as_owner(shop, "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY")
        order = order_of(permissions("SELECT", "app", "orders"))
        apply_grant(shop.target, order)
        with shop.log_in(order) as user:
            assert user.execute("SELECT count(*) FROM app.orders").fetchone() == (0,)
            role = order.set.capability
            as_owner(shop, f'CREATE POLICY readers ON app.orders TO "{role}" USING (true)')
            assert user.execute("SELECT count(*) FROM app.orders").fetchone() == (1,)
        end_grant(shop.target, to_end(order))
        with shop.as_dba() as conn:
            assert conn.execute("SELECT count(*) FROM pg_policy").fetchall() == [(1,)]


def test_privileges_of_others_stay_as_they_are(new_shop: Callable[..., Shop]) -> None:
    """A REVOKE of ours takes no column privilege of anybody else."""
    shop = new_shop()
    other = f"report_{secrets.token_hex(3)}"
    role = sql.Identifier(other)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(role))
        conn.execute(sql.SQL("GRANT UPDATE (name), SELECT ON app.customers TO {}").format(role))
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {} WITH GRANT OPTION").format(role))
        conn.execute("GRANT SELECT ON app.orders TO PUBLIC")
    acls = (
        "SELECT c.oid::regclass::text, t.attname, acl.grantee::regrole::text, acl.privilege_type, acl.is_grantable"
        " FROM pg_class c LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL,"
        " aclexplode(coalesce(t.attacl, c.relacl)) acl WHERE c.relnamespace = 'app'::regnamespace"
        " AND acl.grantee::regrole::text !~ '^jitb_' ORDER BY 1, 2, 3, 4"
    )
    with shop.as_dba() as conn:
        apply_grant(shop.target, (first := order_of(permissions("SELECT", "app", "events_2024"))))
        before = conn.execute(acls).fetchall()  # type: ignore[call-overload]
        order = order_of(permissions("ALL", "app", "events_2024"))
        apply_grant(shop.target, order)
        end_grant(shop.target, to_end(order))
        end_grant(shop.target, to_end(first))
        assert conn.execute(acls).fetchall() == before  # type: ignore[call-overload]
        assert any(row[2] == other and row[1] == "name" for row in before)


ODD = [
    'qu"ote',
    "sp ace",
    "back\\slash",
    "per%cent",
    "a-b#c&d~e",
    "(x)[y]{z}",
    "Ünïcode",
    "^$|?+",
    "it's",
    "new\u2028line",
]


@pytest.mark.parametrize("version", [18, 14])
def test_patterns_with_characters_that_mean_something_elsewhere(new_shop: Callable[..., Shop], version: int) -> None:
    shop = new_shop(version, tables="CREATE SCHEMA app")
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for name in ODD:
            for ending in ("_1", "_2"):
                conn.execute(sql.SQL("CREATE TABLE app.{} (id int)").format(sql.Identifier(name + ending)))
        conn.execute("CREATE TABLE app.unwanted_1 (id int)")
    for name in ODD:
        order = order_of(permissions("SELECT", "app", f"{name}_*"))
        assert {table.table for table in apply_grant(shop.target, order).tables} == {f"{name}_1", f"{name}_2"}
        end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_63_bytes_and_exact_names_before_patterns(new_shop: Callable[..., Shop], version: int) -> None:
    """A schema may be called like a pattern as well."""
    longest, other = "ü" * 31 + "x", "ü" * 31 + "y"
    shop = new_shop(version, tables='CREATE SCHEMA "s*"; CREATE SCHEMA sales; CREATE TABLE sales.t (id int)')
    as_owner(shop, f'CREATE TABLE "s*"."{longest}" (id int)', f'CREATE TABLE "s*"."{other}" (id int)')
    order = order_of(permissions("SELECT", "s*", f"{longest},t"))
    receipt = apply_grant(shop.target, order)
    assert [(table.schema, table.table) for table in receipt.tables] == [("s*", longest)]
    assert receipt.unmatched == ("table t",)
    end_grant(shop.target, to_end(order))
