"""Locks that others hold for as long as they like: doors are shut, sessions cut, and nobody else waits."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.drift.resync import resync_sets
from accessmgmt.provisioning.end.grants import end_grants
from accessmgmt.provisioning.leftovers.held_up import HeldUp, insist
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, Statement
from accessmgmt.provisioning.statements.ending import SHORT_LOCK_TIMEOUT
from devstack.postgres import PostgresServer
from tests.orders import as_made, to_end
from tests.provisioning.conftest import INSTALLATION, Shop, new_order, permissions
from tests.provisioning.dba import do_as_told

ORDERS = permissions("SELECT", "app", "orders")


def applied(shop: Shop, count: int) -> list[GrantOrder]:
    orders = [new_order(ORDERS) for _ in range(count)]
    return [as_made(order, role_oid=apply_grant(shop.target, order).role_oid) for order in orders]


def is_let_in(shop: Shop, order: GrantOrder) -> bool:
    try:
        shop.log_in(order).close()
    except psycopg.OperationalError:
        return False
    return True


def test_who_holds_the_capability_role_keeps_no_door_open(new_shop: Callable[..., Shop]) -> None:
    """An open GRANT of it keeps REVOKE waiting, on 16 and later."""
    shop = new_shop(18)
    orders = applied(shop, 4)
    user = shop.log_in(orders[0])
    capability = orders[0].set.capability
    with shop.as_dba() as dba:
        dba.execute("BEGIN")
        dba.execute(sql.SQL("GRANT {} TO pg_monitor").format(sql.Identifier(capability)))
        end_grants(shop.target, [to_end(order) for order in orders])
        assert [is_let_in(shop, order) for order in orders] == [False] * 4
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        dba.execute("ROLLBACK")
    assert all(
        isinstance(outcome, EndReceipt) for outcome in end_grants(shop.target, [to_end(order) for order in orders])
    )


@pytest.mark.parametrize("version", [18, 14])
def test_who_holds_many_login_roles_delays_no_ending(new_shop: Callable[..., Shop], version: int) -> None:
    """A colleague is cut once; what they hold is free for all the others, too."""
    shop = new_shop(version)
    *orders, rogue = applied(shop, 6)
    with shop.log_in(rogue) as user:
        user.execute("BEGIN")
        for order in orders[:4]:
            user.execute("SELECT pg_get_object_address('role', %s, '{}')", [[order.login.role_name]])
        outcomes = end_grants(shop.target, [to_end(order) for order in orders])
        assert all(isinstance(outcome, EndReceipt) for outcome in outcomes)
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
    assert is_let_in(shop, rogue), "the colleague's own grant goes on"
    assert all(
        isinstance(outcome, EndReceipt)
        for outcome in end_grants(shop.target, [to_end(order) for order in (*orders, rogue)])
    )


def test_an_advisory_lock_in_a_prepared_transaction_is_not_waited_for(
    own_server: Callable[..., PostgresServer], shop_on: Callable[[PostgresServer], Shop]
) -> None:
    shop = shop_on(own_server(17, max_prepared_transactions=5))
    [first] = applied(shop, 1)
    with shop.log_in(first) as user:
        user.execute("BEGIN; SELECT pg_advisory_xact_lock(1246319696, 1); PREPARE TRANSACTION 'mine'")
    assert apply_grant(shop.target, new_order(permissions("SELECT", "app", "customers"))).table_count == 1


@pytest.mark.parametrize("version", [18, 14])
@pytest.mark.parametrize("force", ["FORCE", "NO FORCE"])
def test_a_policy_that_asks_its_own_table_keeps_no_set_from_being_given(
    new_shop: Callable[..., Shop], version: int, force: str
) -> None:
    shop = new_shop(version)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute(
            "CREATE TABLE app.teams (id int, who text); ALTER TABLE app.teams ENABLE ROW LEVEL SECURITY;"
            " CREATE POLICY p ON app.teams USING (EXISTS (SELECT FROM app.teams t WHERE t.who = current_user))"
        )
        dba.execute(sql.SQL("ALTER TABLE app.teams {} ROW LEVEL SECURITY").format(sql.SQL(force)))  # type: ignore[arg-type]
    assert apply_grant(shop.target, new_order(permissions("SELECT"))).table_count == 11


def test_a_lock_query_that_was_left_over_does_no_harm(new_shop: Callable[..., Shop]) -> None:
    """A cancel between PREPARE and DEALLOCATE leaves it on a connection that goes back to the pool."""
    shop = new_shop()
    with admin_session(shop.target, Budget(20)) as session:
        session.conn.execute("PREPARE jit_lock AS SELECT 1")
    assert apply_grant(shop.target, new_order(ORDERS)).table_count == 1


NAMES = ("x$hold$", "q\"uo'te", "per%cent %s %(a)s", "br{ace} {0} {}", "new\nline -- ", "back\\slash", "$$", "; DROP")


@pytest.mark.parametrize("version", [18, 14])
def test_no_name_ends_the_text_it_stands_in(new_shop: Callable[..., Shop], version: int) -> None:
    shop = new_shop(version)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for name in NAMES:
            dba.execute(sql.SQL("CREATE SCHEMA {0}; CREATE TABLE {0}.{0} (id serial)").format(sql.Identifier(name)))
    order = new_order(permissions("SELECT,INSERT", "*", "*"))
    receipt = apply_grant(shop.target, order)
    assert {(name, name) for name in NAMES} <= {(table.schema, table.table) for table in receipt.tables}
    [outcome] = end_grants(shop.target, [to_end(order, role_oid=receipt.role_oid)])
    assert isinstance(outcome, EndReceipt)


VERSIONS_OF_LOCKS = pytest.mark.parametrize("version", [18, 14])


@VERSIONS_OF_LOCKS
def test_who_keeps_a_grant_waiting_is_named_with_what_they_hold(
    own_server: Callable[..., PostgresServer], shop_on: Callable[[PostgresServer], Shop], version: int
) -> None:
    """With `*` a set waits for every table: a session and a prepared transaction, each with what ends it."""
    shop = shop_on(own_server(version, max_prepared_transactions=5))
    with shop.as_dba() as dba:
        dba.execute("SET application_name = 'nightly job'; BEGIN; LOCK TABLE app.customers IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TargetUnavailable) as refusal:
            apply_grant(shop.target, new_order(permissions("SELECT")))
        assert refusal.value.sqlstate == "55P03"
        [pid] = dba.execute("SELECT pg_backend_pid()").fetchone() or [0]
        assert (
            f"It waits for app.customers: the session “nightly job” of postgres (pid {pid}, in a" in refusal.value.why
        )
        assert f"A superuser runs: SELECT pg_terminate_backend({pid});" in refusal.value.todo
        dba.execute("PREPARE TRANSACTION 'it''s nightly'")
    with pytest.raises(TargetUnavailable) as refusal:
        apply_grant(shop.target, new_order(permissions("SELECT")))
    assert 'the transaction "it\'s nightly", which postgres prepared in ' in refusal.value.why
    report = resync_sets(shop.target, INSTALLATION, [permissions("SELECT")])
    assert [text.count("it's nightly") for text in report.refused.values()] == [1]
    do_as_told(shop, refusal.value.todo)
    order = new_order(permissions("SELECT"))
    end_grants(shop.target, [to_end(order, role_oid=apply_grant(shop.target, order).role_oid)])


@VERSIONS_OF_LOCKS
def test_who_holds_a_login_s_row_is_named(
    own_server: Callable[..., PostgresServer], shop_on: Callable[[PostgresServer], Shop], version: int
) -> None:
    """A session of a DBA, or what a DBA prepared: sessions are cut, and the ending says what opens the way."""
    shop = shop_on(own_server(version, max_prepared_transactions=5))
    orders = applied(shop, 2)
    user = shop.log_in(orders[0])
    with shop.as_dba() as dba:
        dba.execute("BEGIN")
        dba.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 3").format(sql.Identifier(orders[0].login.role_name)))
        [pid] = dba.execute("SELECT pg_backend_pid()").fetchone() or [0]
        stuck, done = end_grants(shop.target, [to_end(order) for order in orders])
        assert isinstance(done, EndReceipt)
        assert isinstance(stuck, TargetUnavailable)
        assert f"(pid {pid}, in a transaction since" in stuck.why
        assert f"SELECT pg_terminate_backend({pid});" in stuck.todo
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        dba.execute("PREPARE TRANSACTION 'the dba''s'")
    [stuck] = end_grants(shop.target, [to_end(order) for order in orders[:1]])
    assert isinstance(stuck, TargetUnavailable)
    assert "which postgres prepared in " in stuck.why
    do_as_told(shop, stuck.todo)
    assert isinstance(end_grants(shop.target, [to_end(order) for order in orders[:1]])[0], EndReceipt)


@VERSIONS_OF_LOCKS
def test_a_prepared_transaction_that_is_not_in_the_way_is_not_named(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    """Only a lock that keeps ours waiting counts: who read the same table, or wrote to another, may go on."""
    shop = shop_on(own_server(version, max_prepared_transactions=5), is_superuser=True)
    with shop.as_dba() as dba:
        dba.execute("BEGIN; SELECT FROM app.orders; PREPARE TRANSACTION 'read'")
        dba.execute("BEGIN; INSERT INTO app.orders (item) VALUES ('milk'); PREPARE TRANSACTION 'wrote'")
        dba.execute("BEGIN; INSERT INTO app.tickets (note) VALUES ('x'); PREPARE TRANSACTION 'elsewhere'")
    lock = Statement("lock it", sql.SQL("LOCK TABLE app.orders IN SHARE ROW EXCLUSIVE MODE"))
    with admin_session(shop.target, Budget(60)) as session:

        def work() -> None:
            session.send([BEGIN, SHORT_LOCK_TIMEOUT, lock, COMMIT])

        with pytest.raises(HeldUp) as refusal:
            insist(session, shop.target, work, "The table")
        assert "ROLLBACK PREPARED 'wrote'" in refusal.value.todo
        assert "'read'" not in refusal.value.todo
        assert "'elsewhere'" not in refusal.value.todo
        do_as_told(shop, refusal.value.todo)
        assert insist(session, shop.target, work, "The table") == []


@VERSIONS_OF_LOCKS
def test_a_membership_that_only_others_may_take_keeps_no_other(
    own_server: Callable[..., PostgresServer], shop_on: Callable[[PostgresServer], Shop], version: int
) -> None:
    """However long the ending stays unfinished: the capability role is lost at once."""
    shop = shop_on(own_server(version, max_prepared_transactions=5))
    [first] = applied(shop, 1)
    with shop.as_dba() as dba:
        name = sql.Identifier(first.login.role_name)
        dba.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(name))
        dba.execute(sql.SQL("BEGIN; COMMENT ON ROLE {} IS 'mine'; PREPARE TRANSACTION 'holds'").format(name))
        outcomes = end_grants(shop.target, [to_end(first)])
        held = dba.execute(
            "SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = %s", [first.login.role_oid]
        ).fetchall()
        assert (first.set.capability,) not in held
        [stuck] = outcomes
        assert isinstance(stuck, TargetUnavailable)
        assert "ROLLBACK PREPARED 'holds'" in stuck.todo
        do_as_told(shop, stuck.todo)
    assert isinstance(end_grants(shop.target, [to_end(first)])[0], EndReceipt)


def test_what_a_superuser_gave_is_told_with_what_takes_it_at_once(new_shop: Callable[..., Shop]) -> None:
    """Behind a door that is held open, for as long as it is: the portal may not take it, from 16 on."""
    shop = new_shop(18)
    [first] = applied(shop, 1)
    name = sql.Identifier(first.login.role_name)
    with shop.as_dba() as dba, shop.as_dba() as other:
        dba.execute(
            sql.SQL("GRANT {}, pg_monitor TO {} WITH ADMIN OPTION").format(sql.Identifier(first.set.capability), name)
        )
        dba.execute("BEGIN; LOCK TABLE pg_authid IN SHARE MODE")
        [stuck] = end_grants(shop.target, [to_end(first)])
        assert isinstance(stuck, TargetUnavailable)
        left = f"It is still a member of {first.set.capability} (from postgres) and of pg_monitor (from postgres)"
        assert left in stuck.why
        memberships = "SELECT count(*) FROM pg_auth_members WHERE member = %s"
        assert other.execute(memberships, [first.login.role_oid]).fetchall() == [(2,)]
        for statement in re.findall("REVOKE [^;]+", stuck.todo):
            other.execute(statement)
        assert other.execute(memberships, [first.login.role_oid]).fetchall() == [(0,)]
        assert is_let_in(shop, first), "nobody can shut the door"
        [empty] = end_grants(shop.target, [to_end(first)])
        assert isinstance(empty, TargetUnavailable)
        assert "still a member" not in empty.why
        assert "REVOKE" not in empty.todo
        dba.execute("ROLLBACK")
    assert isinstance(end_grants(shop.target, [to_end(first)])[0], EndReceipt)


def test_what_the_portal_takes_itself_is_no_advice(new_shop: Callable[..., Shop]) -> None:
    """A lock kept it: a REVOKE of anybody else would wait for the same."""
    shop = new_shop(18)
    [first] = applied(shop, 1)
    with shop.as_dba() as dba:
        dba.execute("BEGIN; LOCK TABLE pg_authid, pg_auth_members IN SHARE MODE")
        [stuck] = end_grants(shop.target, [to_end(first)])
        assert isinstance(stuck, TargetUnavailable)
        assert f"It is still a member of {first.set.capability} (from jit_portal)" in stuck.why
        assert "REVOKE" not in stuck.todo
        dba.execute("ROLLBACK")
    assert isinstance(end_grants(shop.target, [to_end(first)])[0], EndReceipt)
