"""What a target refuses, and what the portal refuses to touch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import admin_connection
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from devstack.process import wait_until
from tests.limits import time_limit
from tests.orders import to_end
from tests.provisioning.conftest import INSTALLATION, Shop, new_order, permissions
from tests.provisioning.dba import sql_in


@pytest.mark.parametrize("tag", ["", f"{INSTALLATION.tag_prefix}grant:another", "access-portal:other:grant:x"])
def test_a_role_of_somebody_else_is_not_touched(shop: Shop, tag: str) -> None:
    order = new_order()
    with shop.as_dba() as conn:
        name = sql.Identifier(order.login.role_name)
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'theirs'").format(name))
        if tag:
            conn.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(tag)))
    for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
        with pytest.raises(TargetRefused, match="not this grant"):
            act(shop.target, asked)
    with shop.server.connect(shop.database, order.login.role_name, "theirs") as conn:
        assert conn.execute("SELECT 1").fetchall() == [(1,)]


def test_a_role_that_a_dba_renamed_is_found_by_its_oid(shop: Shop) -> None:
    order = new_order()
    receipt = apply_grant(shop.target, order)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("ALTER ROLE {} RENAME TO renamed_one").format(sql.Identifier(order.login.role_name)))

    ended = end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))

    assert not ended.role_was_absent
    with shop.as_dba() as conn:
        assert conn.execute("SELECT 1 FROM pg_roles WHERE rolname = 'renamed_one'").fetchall() == []


def test_sessions_of_a_role_that_a_dba_dropped_are_ended(shop: Shop) -> None:
    order = new_order()
    receipt = apply_grant(shop.target, order)
    user = shop.log_in(order)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(order.login.role_name)))
    assert user.execute("SELECT 1").fetchall() == [(1,)]

    ended = end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))

    assert ended.role_was_absent
    assert len(ended.sessions) == 1
    assert ended.sessions[0].pid == user.info.backend_pid


@pytest.mark.parametrize(
    ("schemas", "tables"), [("nowhere", "*"), ("app", "nothing"), ("app", "nothing_*"), ("pg_catalog", "pg_class")]
)
def test_a_set_that_matches_nothing(shop: Shop, schemas: str, tables: str) -> None:
    order = new_order(permissions("SELECT", schemas, tables))
    with pytest.raises(TargetRefused, match="matches this authorization"):
        apply_grant(shop.target, order)
    assert shop.roles(order) == 0


def test_names_that_match_nothing_are_reported(shop: Shop) -> None:
    order = new_order(permissions("SELECT", "app,nowhere", "orders,nothing,none_*"))
    receipt = apply_grant(shop.target, order)
    assert set(receipt.unmatched) == {"schema nowhere", "table nothing", "table none_*"}
    assert receipt.table_count == 1
    end_grant(shop.target, to_end(order))


def test_tables_of_an_owner_that_is_not_held(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    with shop.as_dba() as conn:
        conn.execute('CREATE TABLE app."Their Table" (id int)')

    named = new_order(permissions("SELECT", "app", "orders,Their Table"))
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(shop.target, named)
    assert refusal.value.sqlstate == "42501"
    assert refusal.value.todo == (
        f"A superuser runs, connected to {shop.database}:"
        ' GRANT SELECT ON TABLE app."Their Table" TO "jit_portal" WITH GRANT OPTION;'
    )
    end_grant(shop.target, to_end(named))

    everything = new_order(permissions("SELECT", "app", "*"))
    receipt = apply_grant(shop.target, everything)
    assert receipt.unmatched == ('app."Their Table" (owner postgres)',)
    assert "Their Table" not in {t.table for t in receipt.tables}
    assert receipt.table_count == 10
    end_grant(shop.target, to_end(everything))

    with shop.as_dba() as conn:
        conn.execute(sql_in(refusal.value.todo))  # type: ignore[arg-type]
    apply_grant(shop.target, named)
    with shop.log_in(named) as user:
        assert user.execute('SELECT * FROM app."Their Table"').fetchall() == []
    end_grant(shop.target, to_end(named))


def test_tables_of_another_owner(new_shop: Callable[..., Shop]) -> None:
    """The error names the statement that mends it, and it does."""
    shop = new_shop()
    owner = f'{shop.database} "boss"'
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
        conn.execute(sql.SQL("ALTER TABLE app.orders OWNER TO {}").format(sql.Identifier(owner)))
    order = new_order(permissions("SELECT", "app", "orders"))
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(shop.target, order)
    with shop.as_dba() as conn:
        conn.execute(sql_in(refusal.value.todo))  # type: ignore[arg-type]
    assert apply_grant(shop.target, order).table_count == 1
    end_grant(shop.target, to_end(order))


def test_an_unknown_privilege_for_the_servers_version(shops: Callable[[int, bool], Shop]) -> None:
    """ALL is spelled out for each version; MAINTAIN alone means nothing before 17."""
    for version, count in ((14, 7), (18, 8)):
        shop = shops(version, False)
        order = new_order(permissions("ALL", "app", "orders"))
        assert len(apply_grant(shop.target, order).tables[0].privileges) == count
        end_grant(shop.target, to_end(order))
    order = new_order(permissions("MAINTAIN", "app", "orders"))
    with pytest.raises(TargetRefused):
        apply_grant(shops(14, False).target, order)


def test_a_capability_role_that_was_tampered_with(shop: Shop) -> None:
    wanted = permissions("SELECT", "app", "orders,customers")
    order = new_order(wanted)
    apply_grant(shop.target, order)
    capability = sql.Identifier(wanted.capability_role_name(INSTALLATION.id))
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("GRANT UPDATE ON app.orders TO {}").format(capability))
        conn.execute(sql.SQL("GRANT SELECT ON secret.salaries TO {}").format(capability))
        conn.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA secret TO {}").format(capability))
        conn.execute(sql.SQL("GRANT UPDATE (name) ON app.customers TO {}").format(capability))
        conn.execute(sql.SQL("REVOKE SELECT ON app.customers FROM {}").format(capability))
    again = apply_grant(shop.target, order)
    assert [t.privileges for t in again.tables] == [("SELECT",), ("SELECT",)]
    with shop.as_dba() as conn:
        rows = conn.execute(
            "SELECT has_table_privilege(%s, 'secret.salaries', 'SELECT'),"
            " has_schema_privilege(%s, 'secret', 'CREATE'), has_any_column_privilege(%s, 'app.customers', 'UPDATE')",
            [order.login.role_name] * 3,
        ).fetchall()
    assert rows == [(False, False, False)]

    with shop.as_dba() as conn:
        conn.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(sql.Identifier(order.login.role_name)))
    with pytest.raises(TargetRefused, match="more than the portal gave"):
        apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))

    other = new_order(wanted)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("GRANT pg_write_all_data TO {}").format(capability))
    with pytest.raises(TargetRefused, match="is a member of pg_write_all_data"):
        apply_grant(shop.target, other)
    end_grant(shop.target, to_end(other))
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("REVOKE pg_write_all_data FROM {}").format(capability))
    apply_grant(shop.target, other)
    end_grant(shop.target, to_end(other))


def test_work_that_comes_too_late_makes_no_login(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was stopped past its time sends its transaction all the same: the server's clock undoes it."""
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    late = new_order(permissions("SELECT", "app", "orders"))

    held = []
    for seconds in (0.5, 5.0, 50.0):  # a busy machine needs longer to come so far
        over_at = time.monotonic() + seconds

        def be_held_up(description: str, over_at: float = over_at) -> None:
            if description == "read the login role":  # stands for SIGSTOP: the rest was already decided
                wait_until(lambda: time.monotonic() > over_at + 0.05, timeout=120, what="its time is over")
                held.append(description)

        monkeypatch.setattr(conversation, "before_statement", be_held_up)
        with pytest.raises(TargetUnavailable):
            apply_grant(shop.target, late, budget_seconds=seconds)
        assert shop.roles(late) == 0
        if held:
            return
    pytest.fail("it never came so far")


def test_the_guard_itself(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our own clock in the way, the server alone says no."""
    monkeypatch.setattr("accessmgmt.provisioning.session.deadline.Budget.check", lambda self: 5.0)
    order = new_order(permissions("SELECT", "app", "orders"))
    with pytest.raises(TargetUnavailable) as late:
        apply_grant(shop.target, order, budget_seconds=0.0)
    assert late.value.sqlstate == "22012"
    assert shop.roles(order) == 0


def test_a_statement_that_hangs_is_cut(shop: Shop) -> None:
    order = new_order(permissions("SELECT", "app", "measures"))
    apply_grant(shop.target, order)
    with shop.as_dba() as conn, conn.transaction():
        conn.execute("LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
        with time_limit("a statement that waits for this block"), pytest.raises(TargetUnavailable):
            apply_grant(shop.target, order, budget_seconds=1.0)
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))


def test_a_server_that_cannot_be_reached(shop: Shop) -> None:
    order = new_order()
    gone: Target = replace(shop.target, host="nowhere.invalid")
    for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
        with pytest.raises(TargetUnavailable, match="cannot be resolved"):
            act(gone, asked)
    with pytest.raises(TargetRefused, match="does not accept the password"):
        apply_grant(replace(shop.target, password="wrong"), order)


def test_dead_connections_in_the_pool_are_replaced(shop: Shop) -> None:
    order = new_order(permissions("SELECT", "app", "orders"))
    with admin_connection(shop.target) as conn:
        pid = conn.info.backend_pid
    with shop.as_dba() as dba:
        dba.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
