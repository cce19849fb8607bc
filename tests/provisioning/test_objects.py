"""Which objects a grant reaches: names, patterns, sequences, future tables, PUBLIC, what a login leaves behind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.privileges.read import as_regex, scope_of
from accessmgmt.provisioning.session import conversation
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.base import Statement
from accessmgmt.provisioning.statements.reading import DRIFT
from devstack.recipe import prepare_database, prepare_target
from tests.orders import to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, INSTALLATION, Shop, new_order, permissions
from tests.provisioning.dba import sql_in


@pytest.mark.parametrize("version", [18, 14])
def test_inserting_needs_sequences_and_gets_no_more(shops: Callable[[int, bool], Shop], version: int) -> None:
    shop = shops(version, False)
    order = new_order(permissions("SELECT,INSERT", "app", "orders,customers,tickets"))
    apply_grant(shop.target, order)
    with shop.log_in(order) as user:
        user.execute("INSERT INTO app.orders (item) VALUES ('serial')")
        user.execute("INSERT INTO app.customers (name) VALUES ('identity')")
        user.execute("INSERT INTO app.tickets (note) VALUES ('a sequence of its own')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute("SELECT setval('app.free_numbers', 1)")
    end_grant(shop.target, to_end(order))


NAMES = ['with "quotes"', "sp ace", "Ünïcode", "back\\slash", "per%cent", "dots.in.it", "x" * 63, "'; DROP TABLE y; --"]


def test_names_that_need_care(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(tables='CREATE SCHEMA "od""d sch\u00e9ma"')
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for name in NAMES:
            conn.execute(sql.SQL("CREATE TABLE {} (id serial)").format(sql.Identifier('od"d schéma', name)))
    permission_set = permissions("SELECT,INSERT", 'od"d schéma', ",".join(NAMES))
    order = new_order(permission_set)
    receipt = apply_grant(shop.target, order)
    assert {t.table for t in receipt.tables} == set(NAMES)
    with shop.log_in(order) as user:
        for name in NAMES:
            user.execute(sql.SQL("INSERT INTO {} DEFAULT VALUES").format(sql.Identifier('od"d schéma', name)))
    end_grant(shop.target, to_end(order))


def test_an_exact_name_comes_before_a_pattern(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(tables='CREATE SCHEMA app; CREATE TABLE app."ev*" (id int); CREATE TABLE app.events (id int);')
    order = new_order(permissions("SELECT", "app", "ev*"))
    assert [t.table for t in apply_grant(shop.target, order).tables] == ["ev*"]
    end_grant(shop.target, to_end(order))


def test_patterns_are_anchored_and_escaped() -> None:
    assert as_regex("events_*") == "^events_.*$"
    assert as_regex("a.b*[c]") == r"^a\.b.*\[c\]$"
    assert as_regex("plain") is None


def test_every_schema_means_no_system_schema(shop: Shop) -> None:
    order = new_order(permissions("SELECT", "*", "*"))
    receipt = apply_grant(shop.target, order)
    assert {t.schema for t in receipt.tables} == {"app", "secret"}
    assert {t.kind for t in receipt.tables} == {"table", "view", "materialized view", "partitioned table"}
    end_grant(shop.target, to_end(order))


def test_new_tables_are_reached_at_once_or_with_the_next_apply(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    everything, pattern = (
        new_order(permissions("SELECT,INSERT", "app", "*")),
        new_order(permissions("SELECT", "app", "ev*")),
    )
    apply_grant(shop.target, everything)
    apply_grant(shop.target, pattern)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        conn.execute("CREATE TABLE app.events_2026 (id serial)")
    with shop.log_in(everything) as user:
        user.execute("INSERT INTO app.events_2026 DEFAULT VALUES")
    with shop.log_in(pattern) as user:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute("SELECT * FROM app.events_2026")
        assert "events_2026" in {t.table for t in apply_grant(shop.target, pattern).tables}
        assert user.execute("SELECT count(*) FROM app.events_2026").fetchall() == [(1,)]
    end_grant(shop.target, to_end(everything))
    end_grant(shop.target, to_end(pattern))


def test_a_table_that_appears_during_apply_is_no_failure(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    number = 0

    def create(_description: str) -> None:
        nonlocal number
        number += 1
        with shop.as_dba() as conn:
            conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
            conn.execute(sql.SQL("CREATE TABLE app.{} (id int)").format(sql.Identifier(f"ev_{number}")))

    order = new_order(permissions("SELECT", "app", "ev*"))
    conversation.before_statement = create
    try:
        receipt = apply_grant(shop.target, order)
    finally:
        conversation.before_statement = None
    assert receipt.table_count >= 3
    end_grant(shop.target, to_end(order))


def test_what_everybody_may_is_counted_and_not_mistaken(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    with shop.as_dba() as conn:
        conn.execute("GRANT UPDATE, DELETE ON app.orders TO PUBLIC")
    order = new_order(permissions("SELECT", "app", "orders,customers"))
    receipt = apply_grant(shop.target, order)
    assert receipt.public_extras == 2
    assert {t.table: t.privileges for t in receipt.tables} == {
        "customers": ("SELECT",),
        "orders": ("SELECT", "UPDATE", "DELETE"),
    }
    end_grant(shop.target, to_end(order))


def test_a_database_that_is_closed_to_the_public(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(shop.database)))
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    shop.log_in(order).close()
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize(("version", "is_superuser"), [(18, False), (16, False), (14, False), (18, True)])
def test_what_a_login_made_is_handed_over(new_shop: Callable[..., Shop], version: int, is_superuser: bool) -> None:
    shop = new_shop(version, is_superuser=is_superuser)
    other = f"other_{secrets.token_hex(4)}"
    with shop.as_dba() as conn:
        conn.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC")
        prepare_database(conn)
        owner = f"{shop.database}_owner"
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(other), sql.Identifier(owner)))
        if not is_superuser:
            prepare_target(conn, login=shop.target.username, password=ADMIN_PASSWORD, databases=[other])
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    with shop.log_in(order) as user:
        user.execute("CREATE TABLE play.mine (id int); INSERT INTO play.mine VALUES (7)")
        user.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
        user.execute("CREATE TEMP TABLE passing (id int)")
    with shop.server.connect(other, order.login.role_name, order.password) as user:
        user.execute("SELECT lo_create(0)")
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("GRANT SELECT ON secret.salaries TO {}").format(sql.Identifier(order.login.role_name)))

    receipt = end_grant(shop.target, to_end(order))

    assert set(receipt.reassigned) == {shop.database, other}
    with shop.as_dba() as conn:
        rows = conn.execute(
            "SELECT tableowner::text, (SELECT id FROM play.mine) FROM pg_tables WHERE tablename = 'mine'"
        ).fetchall()
    assert rows == [("jit_quarantine", 7)]


def test_what_cannot_be_dropped_says_how(new_shop: Callable[..., Shop]) -> None:
    """A superuser granted something straight to the login: only a superuser can take that back."""
    shop = new_shop()
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    with shop.as_dba() as conn:
        conn.execute("CREATE SCHEMA sandbox")
        conn.execute(
            sql.SQL("GRANT CREATE, USAGE ON SCHEMA sandbox TO {}").format(sql.Identifier(order.login.role_name))
        )
    user = shop.log_in(order)
    user.execute("CREATE TABLE sandbox.mine (id int)")

    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))

    assert refusal.value.sqlstate == "2BP01"
    assert shop.database in refusal.value.todo
    with pytest.raises(psycopg.OperationalError):  # fenced and cut all the same
        user.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(order)
    with shop.as_dba() as conn:
        conn.execute(sql_in(refusal.value.todo))  # type: ignore[call-overload]
        assert conn.execute("SELECT count(*) FROM sandbox.mine").fetchall() == [(0,)]
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


def test_many_tables_report_progress_between_chunks(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(
        tables="CREATE SCHEMA app; DO $$BEGIN FOR i IN 1..450 LOOP"
        " EXECUTE format('CREATE TABLE app.t%s (id int)', i); END LOOP; END$$"
    )
    told: list[int] = []
    order = new_order(permissions("SELECT", "app", "*"))
    receipt = apply_grant(shop.target, order, on_progress=lambda: told.append(1))
    assert (receipt.table_count, len(receipt.tables), len(told)) == (450, 200, 2)
    again = apply_grant(shop.target, order, on_progress=lambda: told.append(1))
    assert (again.table_count, len(told)) == (450, 2)
    end_grant(shop.target, to_end(order))


def test_the_applications_owner_can_drop_what_was_shared(new_shop: Callable[..., Shop]) -> None:
    """The capability role is no hindrance to the application's own DDL, and holds nothing of what is gone."""
    shop = new_shop()
    wanted = permissions("SELECT", "app", "orders,events_*")
    order = new_order(wanted)
    apply_grant(shop.target, order)
    with shop.as_dba() as conn:
        conn.execute("DROP TABLE app.events_2024")
        rows = conn.execute(
            "SELECT count(*) FROM pg_shdepend WHERE refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)"
            " AND classid = 'pg_class'::regclass"
            " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [wanted.capability_role_name(INSTALLATION.id)],
        ).fetchall()
    assert rows == [(2,)]
    end_grant(shop.target, to_end(order))


def test_a_table_that_is_dropped_while_it_is_verified_is_no_refusal(new_shop: Callable[..., Shop]) -> None:
    """Its privileges are taken away before each look, and it is dropped when the portal asks why they are missing."""
    shop = new_shop()
    order = new_order(permissions("SELECT", "app", "orders,customers"))
    capability = order.set.capability
    looks: list[str] = []

    def interfere(description: str) -> None:
        with shop.as_dba() as conn:
            if description == "verify as the login role":
                looks.append(description)
                if len(looks) <= 4:
                    conn.execute(sql.SQL("REVOKE ALL ON app.orders FROM {}").format(sql.Identifier(capability)))
            elif description == "read the capability role's drift" and len(looks) == 4:
                conn.execute("DROP TABLE IF EXISTS app.orders CASCADE")

    conversation.before_statement = interfere
    try:
        receipt = apply_grant(shop.target, order)
    finally:
        conversation.before_statement = None
    assert len(looks) > 4
    assert receipt.role_oid
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", [18, 14])
def test_tables_that_were_made_just_now_are_not_compared_with_every_sequence(
    new_shop: Callable[..., Shop], version: int
) -> None:
    """Nobody has analyzed the catalog yet: the planner must not choose what takes minutes at 10,000 tables."""
    shop = new_shop(
        version,
        tables="CREATE SCHEMA app; DO $$BEGIN FOR i IN 1..1200 LOOP"
        " EXECUTE format('CREATE TABLE app.t%s (id serial)', i); END LOOP; END$$",
    )
    order = new_order(permissions("SELECT,INSERT", "app", "*"))
    with admin_session(shop.target, Budget(60)) as session:
        scope = scope_of(order.set, version)
        session.send([DRIFT.prepare()])
        explained = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + DRIFT.execute(scope.values).query
        plan = session.send([Statement("explain", explained)])[0][0]["QUERY PLAN"][0]["Plan"]

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from nodes(child)

    touched = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan))
    assert touched < 50_000, "1,200 tables with 1,200 sequences are 1,440,000 pairs"
