"""The portal never blocks a target and is never blocked for long: limits on every session, full and frozen servers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import admin_connection, close_pools, connect_login, database_session
from accessmgmt.provisioning.end import grants, sessions
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.session import conversation
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.locks import ADVISORY_KEY
from devstack.postgres import VERSIONS, PostgresServer
from devstack.process import wait_until
from tests.limits import time_limit
from tests.orders import to_end
from tests.provisioning.conftest import Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")
LONGEST_MS = {
    "statement_timeout": 60_000,
    "lock_timeout": 2_000,
    "idle_in_transaction_session_timeout": 15_000,
    "client_connection_check_interval": 2_000,
}


@pytest.mark.parametrize("version", VERSIONS)
def test_limits_stand_on_every_session(new_shop: Callable[..., Shop], version: int) -> None:
    """Also where the server, the database or the role says that nothing is limited."""
    shop = new_shop(version)
    order = new_order(ORDERS)
    apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        for role in ("jit_portal", shop.target.username, order.login.role_name):
            for name in LONGEST_MS:
                dba.execute(sql.SQL("ALTER ROLE {} SET {} = 0").format(sql.Identifier(role), sql.Identifier(name)))
            for words in ("timezone = 'Asia/Tokyo'", "search_path = app, public"):
                dba.execute(sql.SQL("ALTER ROLE {} SET " + words).format(sql.Identifier(role)))
    close_pools()
    budget = Budget(10)
    with ExitStack() as stack:
        login = connect_login(
            shop.target, role=order.login.role_name, password=order.password, server_version=18, timeout_seconds=5
        )
        found = {
            "pooled": stack.enter_context(admin_connection(shop.target)),
            "other database": stack.enter_context(database_session(shop.target, shop.database, budget)).conn,
            "check as the login": stack.enter_context(login),
        }
        limits = "SELECT name, setting::int FROM pg_settings WHERE name = ANY (%s)"
        for kind, conn in found.items():
            for name, setting in conn.execute(limits, [list(LONGEST_MS)]).fetchall():
                assert 0 < setting <= LONGEST_MS[name], (kind, name)
            known = conn.info.get_parameters()
            assert known["application_name"].startswith("access-portal")
            assert int(known["tcp_user_timeout"]) <= 15_000
            assert int(known["connect_timeout"]) <= 5
            shown = conn.execute("SELECT current_setting('search_path'), current_setting('timezone')").fetchone()
            assert shown == ("pg_catalog", "UTC"), kind
        if version >= 17:
            row = found["pooled"].execute("SELECT current_setting('transaction_timeout')").fetchone()
            assert row not in {None, ("0",)}
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", [18, 14])
def test_privileges_change_under_the_databases_lock(new_shop: Callable[..., Shop], version: int) -> None:
    """Two GRANTs on one table at once are XX000 for one of them. One lock for a database, no other."""
    shop = new_shop(version)
    order = new_order(permissions("SELECT", "app", "orders,customers"))
    done = threading.Event()

    def apply() -> None:
        apply_grant(shop.target, order, budget_seconds=30)
        done.set()

    with shop.as_dba() as dba:
        dba.execute("BEGIN")
        dba.execute("SELECT pg_advisory_xact_lock(%s, %s)", ADVISORY_KEY)
        worker = threading.Thread(target=apply)
        worker.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
        waiting += " (SELECT oid FROM pg_database WHERE datname = current_database())"
        wait_until(lambda: dba.execute(waiting).fetchone() == (1,), timeout=60, what="it waits for the lock")  # type: ignore[call-overload]
        acl = dba.execute("SELECT relacl FROM pg_class WHERE oid = 'app.orders'::regclass").fetchone()
        assert acl == (None,)
        assert not done.is_set()
        dba.execute("COMMIT")
        worker.join(20)
        assert done.is_set()
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert dba.execute(held).fetchone() == (0,), "only ever taken for a transaction"
    end_grant(shop.target, to_end(order))


def test_nothing_is_held_while_others_are_told(new_shop: Callable[..., Shop]) -> None:
    """An uncommitted GRANT keeps VACUUM and DDL waiting; no lock is held over work elsewhere."""
    shop = new_shop(
        tables="CREATE SCHEMA app; DO $$BEGIN FOR i IN 1..250 LOOP"
        " EXECUTE format('CREATE TABLE app.t%s (id int)', i); END LOOP; END$$"
    )
    states: list[str] = []

    def look() -> None:
        with shop.as_dba() as dba:
            rows = dba.execute(
                "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'access-portal'"
            ).fetchall()
            dba.execute("SET lock_timeout = '1s'; LOCK TABLE app.t1, app.t250 IN ACCESS EXCLUSIVE MODE NOWAIT")
        states.extend(state for (state,) in rows)

    order = new_order(permissions("SELECT", "app", "*"))
    apply_grant(shop.target, order, on_progress=look)
    assert states
    assert set(states) == {"idle"}
    end_grant(shop.target, to_end(order))


def test_a_credential_without_a_free_connection_waits(new_shop: Callable[..., Shop]) -> None:
    """53300 is no refusal: it is tried again, and works when there is room. An ending needs no certain database."""
    shop = new_shop()
    order = new_order(ORDERS)
    apply_grant(shop.target, order)
    for limited in ("ROLE", "DATABASE"):
        close_pools()
        name = sql.Identifier(shop.target.username if limited == "ROLE" else shop.database)
        limit = sql.SQL("ALTER {} {} CONNECTION LIMIT {}")
        with shop.as_dba() as dba:
            dba.execute(limit.format(sql.SQL(limited), name, sql.Literal(0)))
            asked = [(apply_grant, order), (end_grant, to_end(order))]
            for act, what in asked if limited == "ROLE" else asked[:1]:
                with pytest.raises(TargetUnavailable) as full:
                    act(shop.target, what)
                assert full.value.sqlstate == "53300"
            dba.execute(limit.format(sql.SQL(limited), name, sql.Literal(-1)))
        apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))


HOSTILE = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "exit_on_error": "on",
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "intervalstyle": "iso_8601",
    "row_security": "off",
    "search_path": "app, public",
}
PLACES = {
    "server": "ALTER SYSTEM SET {setting} = {value}",
    "database": "ALTER DATABASE {database} SET {setting} = {value}",
    "role": "ALTER ROLE {role} SET {setting} = {value}",
    "role in the database": "ALTER ROLE {role} IN DATABASE {database} SET {setting} = {value}",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("version", [18, 14])
def test_no_default_of_the_server_keeps_a_door_open(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int, place: str
) -> None:
    """Whatever sessions are to start with: a login is made and works, and its end shuts the door and cuts sessions."""
    shop = shop_on(own_server(version))
    before, after = (new_order(permissions("SELECT,INSERT", "app", "orders,events_*")) for _ in range(2))
    apply_grant(shop.target, before)
    user = shop.log_in(before)
    with shop.as_dba() as dba:
        roles = [""] if "role" not in place else [shop.target.username, "jit_portal", before.login.role_name]
        settings = HOSTILE | ({"createrole_self_grant": "set, inherit"} if version >= 16 else {})
        settings |= {"idle_session_timeout": "1"} if "role" in place else {}  # else the test would be cut as well
        for role in roles:
            for setting, value in settings.items():
                names = {"setting": setting, "database": shop.database, "role": role}
                identifiers = {key: sql.Identifier(name) for key, name in names.items() if name}
                dba.execute(sql.SQL(PLACES[place]).format(value=sql.Literal(value), **identifiers))  # type: ignore[arg-type]
        dba.execute("SELECT pg_reload_conf()")
    close_pools()
    receipt = apply_grant(shop.target, after)
    assert receipt.table_count == 3
    with admin_connection(shop.target) as conn:
        set_here = "SELECT setting FROM pg_settings WHERE source NOT IN ('client', 'session') AND name = ANY (%s)"
        assert conn.execute(set_here, [[*settings]]).fetchall() == [], "nothing is left to the server"
        inherits = "SELECT pg_has_role('jit_portal', %s, 'USAGE')"
        assert conn.execute(inherits, [after.login.role_name]).fetchone() == (False,)
    for order in (before, after):
        end_grant(shop.target, to_end(order))
        assert shop.roles(order) == 0
        with pytest.raises(psycopg.OperationalError):
            shop.log_in(order)
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")


def test_a_session_that_does_not_die_holds_up_no_other(
    new_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is stuck in the kernel is told again later; its grant stays ending."""
    monkeypatch.setattr(sessions, "LONGEST_SECONDS", 0.3)
    shop = new_shop()
    stuck, free = new_order(ORDERS), new_order(ORDERS)
    for order in (stuck, free):
        apply_grant(shop.target, order)
    user, other = shop.log_in(stuck), shop.log_in(free)
    os.kill(user.info.backend_pid, signal.SIGSTOP)
    try:
        failure, ended = end_grants(shop.target, [to_end(stuck), to_end(free)])
        assert isinstance(failure, TargetUnavailable)
        assert str(user.info.backend_pid) in failure.why
        assert isinstance(ended, EndReceipt)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            shop.log_in(stuck)
    finally:
        os.kill(user.info.backend_pid, signal.SIGCONT)
    end_grant(shop.target, to_end(stuck))
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")


@pytest.fixture(params=[18, 14])
def own_shop(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Shop:
    """A shop on a small server of the test's own, which may be stopped."""
    return shop_on(own_server(request.param, max_connections=12))


def test_a_commit_that_waits_for_a_standby_is_given_up_and_looked_at_again(
    own_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """statement_timeout does not bound the wait for a synchronous standby; our own clock does."""
    server, order = own_shop.server, new_order(ORDERS)

    def end(seconds: float) -> None:
        monkeypatch.setattr(grants, "BUDGET_SECONDS", seconds)
        end_grant(own_shop.target, to_end(order))

    for act in (lambda seconds: apply_grant(own_shop.target, order, budget_seconds=seconds), end):
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        with time_limit("a commit that no standby confirms"), pytest.raises(TargetUnavailable):
            act(1.0)
        with server.connect(options="-c synchronous_commit=local") as dba:
            dba.execute("ALTER SYSTEM RESET synchronous_standby_names")
            dba.execute("SELECT pg_reload_conf()")
        act(60.0)
    assert own_shop.roles(order) == 0


def test_a_server_that_restarts_in_the_middle(own_shop: Shop) -> None:
    """Before each kind of statement once: what was interrupted is finished by this run, or by the next."""
    for hits in (
        "grant on the chunk's tables",
        "create the login role",
        "log in as the login role",
        "revoke a membership",
        "fence the login role",
        "terminate its sessions",
        "drop the login role",
    ):
        order = new_order(permissions("SELECT", "app", f"orders,customers,none_{hash(hits)}"))
        restarts: list[str] = []

        def restart(description: str) -> None:
            if description == hits and not restarts:  # noqa: B023
                restarts.append(description)  # noqa: B023
                own_shop.server.restart("immediate")

        conversation.before_statement = restart
        try:
            finish(lambda: apply_grant(own_shop.target, order))  # noqa: B023
            own_shop.log_in(order).close()
            finish(lambda: end_grant(own_shop.target, to_end(order)))  # noqa: B023
        finally:
            conversation.before_statement = None
        assert restarts == [hits]
        assert own_shop.roles(order) == 0


def finish(act: Callable[[], object]) -> None:
    """Do it, and once more where it says that it is tried again."""
    try:
        act()
    except TargetUnavailable:
        act()


@pytest.fixture(autouse=True)
def _no_hook_left() -> Iterator[None]:
    yield
    conversation.before_statement = None
