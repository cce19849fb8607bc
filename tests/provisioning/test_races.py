"""Many at once: workers that apply, clients that reconnect, an application that changes its tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.statements.locks import ADVISORY_KEY
from tests.orders import to_end
from tests.provisioning.conftest import Shop, new_order, permissions


@pytest.mark.parametrize("version", [18, 14])
def test_a_hundred_grants_at_once(new_shop: Callable[..., Shop], version: int) -> None:
    """16 workers, two sets that nobody has applied yet, and an application altering its tables: no error at all."""
    shop = new_shop(version)
    sets = [permissions("SELECT", "app", "*"), permissions("SELECT,INSERT,UPDATE", "app", "*")]
    orders = [new_order(sets[n % 2]) for n in range(100)]
    is_over = threading.Event()
    failures: list[str] = []

    def change_tables() -> None:
        with shop.as_dba() as conn:
            while not is_over.is_set():
                for statement in (
                    "ALTER TABLE app.tickets ENABLE ROW LEVEL SECURITY",
                    "TRUNCATE app.measures",
                    "ALTER TABLE app.tickets DISABLE ROW LEVEL SECURITY",
                ):
                    try:
                        conn.execute(statement)  # type: ignore[call-overload]
                    except psycopg.Error as error:
                        failures.append(f"{statement}: {error}")

    application = threading.Thread(target=change_tables)
    application.start()
    try:
        with ThreadPoolExecutor(16) as workers:
            receipts = list(workers.map(lambda o: apply_grant(shop.target, o, budget_seconds=60), orders))
            ended = list(workers.map(lambda o: end_grant(shop.target, to_end(o)), orders))
    finally:
        is_over.set()
        application.join()
    assert failures == []
    assert len({r.role_oid for r in receipts}) == 100
    assert all(r.table_count == 10 for r in receipts)
    assert not any(e.role_was_absent for e in ended)


def test_the_same_grant_by_many_workers(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    order = new_order(permissions("SELECT", "app", "orders"))
    with ThreadPoolExecutor(8) as workers:
        receipts = list(workers.map(lambda _: apply_grant(shop.target, order, budget_seconds=60), range(16)))
        assert len({(r.role_oid, r.valid_until) for r in receipts}) == 1
        list(workers.map(lambda _: end_grant(shop.target, to_end(order)), range(8)))
    assert shop.roles(order) == 0


class Client(threading.Thread):
    """Somebody who logs in again and again, and holds what he gets."""

    def __init__(self, shop: Shop, order: GrantOrder) -> None:
        super().__init__()
        self.shop, self.order = shop, order
        self.is_over = threading.Event()
        self.has_begun = threading.Event()
        self.held: list[psycopg.Connection] = []

    def run(self) -> None:
        while not self.is_over.is_set():
            try:
                self.held.append(self.shop.log_in(self.order))
                self.has_begun.set()
            except psycopg.OperationalError:
                continue
            if len(self.held) > 2:
                self.held.pop(0).close()


def test_nobody_slips_through_while_a_grant_ends(shop: Shop) -> None:
    survivors = 0
    for _ in range(5):
        order = new_order(permissions("SELECT", "app", "orders"))
        receipt = apply_grant(shop.target, order)
        clients = [Client(shop, order) for _ in range(4)]
        for client in clients:
            client.start()
        assert all(client.has_begun.wait(60) for client in clients)
        end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
        with shop.as_dba() as conn:
            rows = conn.execute("SELECT pid FROM pg_stat_activity WHERE usesysid = %s", [receipt.role_oid]).fetchall()
        survivors += len(rows)
        for client in clients:
            client.is_over.set()
            client.join()
        for connection in (c for client in clients for c in client.held):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    assert survivors == 0


@pytest.mark.parametrize("version", [18, 15, 14])
@pytest.mark.parametrize("is_reconnecting", [False, True], ids=["one session", "sessions that come back"])
def test_nobody_keeps_a_door_open_by_changing_their_own_password(
    new_shop: Callable[..., Shop], version: int, is_reconnecting: bool
) -> None:
    """An open ALTER ROLE of oneself locks the role's row: without force, fence and drop would wait for its end."""
    shop = new_shop(version)
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    is_over, holding = threading.Event(), threading.Event()
    change = sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(sql.Literal(order.password))

    def hold_the_row() -> None:
        while not is_over.is_set():
            try:
                with shop.log_in(order, connect_timeout="5") as conn:
                    conn.execute("BEGIN")
                    conn.execute(change)
                    holding.set()
                    while not is_over.wait(0.01):
                        conn.execute("SELECT 1")
            except psycopg.Error:
                if not is_reconnecting:
                    return

    attackers = [threading.Thread(target=hold_the_row) for _ in range(3 if is_reconnecting else 1)]
    for attacker in attackers:
        attacker.start()
    try:
        assert holding.wait(60)
        receipt = end_grant(shop.target, to_end(order))
    finally:
        is_over.set()
        for attacker in attackers:
            attacker.join(30)
    assert receipt.sessions
    assert shop.roles(order) == 0
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(order)


def test_a_login_that_was_passed_on_is_taken_back(new_shop: Callable[..., Shop]) -> None:
    """On PostgreSQL 14 a role may make others its members; later versions refuse."""
    shop = new_shop(14)
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    friend = f"friend_{order.login.grant_id}"
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(friend)))
    with shop.log_in(order) as user:
        user.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(order.login.role_name), sql.Identifier(friend)))
    receipt = end_grant(shop.target, to_end(order))
    assert [friend in note for note in receipt.notes] == [True]
    with shop.as_dba() as dba:
        query = "SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole"
        assert dba.execute(query, [friend]).fetchone() == (0,)


@pytest.mark.parametrize("version", [15, 14])
def test_a_membership_in_a_role_that_is_gone_keeps_nobody_in(new_shop: Callable[..., Shop], version: int) -> None:
    """Up to 15 a GRANT locks nothing: dropping the granted role at that moment leaves such a row behind."""
    shop = new_shop(version)
    order = new_order(permissions("SELECT", "app", "orders"))
    oid = apply_grant(shop.target, order).role_oid
    with shop.as_dba() as dba:
        dba.execute("SET allow_system_table_mods = on")
        dba.execute("INSERT INTO pg_auth_members VALUES (4000000000, %s, 10, false)", [oid])
    assert end_grant(shop.target, to_end(order)).verified_at
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", [18, 14])
@pytest.mark.parametrize("is_waiting", [False, True], ids=["held by a stranger", "a stranger waits for it"])
def test_a_stranger_with_our_key_keeps_nobody_out(
    new_shop: Callable[..., Shop], version: int, is_waiting: bool
) -> None:
    """The advisory lock protects the portal from itself, and anybody may take it: three chunks must not each wait."""
    shop = new_shop(
        version,
        tables="CREATE SCHEMA app; DO $$BEGIN FOR i IN 1..450 LOOP"
        " EXECUTE format('CREATE TABLE app.t%s (id int)', i); END LOOP; END$$",
    )
    stranger = new_order(permissions("SELECT", "app", "t1"), who="mallory")
    apply_grant(shop.target, stranger)
    first, second = new_order(), new_order(permissions("SELECT,INSERT", "app", "*"))
    key = sql.SQL("SELECT pg_advisory_lock({}, {})").format(*map(sql.Literal, ADVISORY_KEY))
    with shop.log_in(stranger) as held, ours(shop) as other_worker:
        if is_waiting:
            other_worker.execute("BEGIN")
            other_worker.execute(key)
            waiting = threading.Thread(target=lambda: held.execute(key))
            waiting.start()
            await_blocked(shop, held.info.backend_pid)
        else:
            held.execute(key)
        assert apply_grant(shop.target, first, budget_seconds=5).table_count == 450
        if is_waiting:
            other_worker.close()
            waiting.join(10)
        assert apply_grant(shop.target, second, budget_seconds=5).table_count == 450


def test_a_worker_of_our_own_is_waited_for(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    order = new_order(permissions("SELECT,UPDATE", "app", "*"))
    key = sql.SQL("SELECT pg_advisory_xact_lock({}, {})").format(*map(sql.Literal, ADVISORY_KEY))
    with ours(shop) as other_worker, ThreadPoolExecutor(1) as pool:
        other_worker.execute("BEGIN")
        other_worker.execute(key)
        applying = pool.submit(apply_grant, shop.target, order)
        await_blocked_by(shop, other_worker.info.backend_pid)
        other_worker.execute("COMMIT")
        assert applying.result().table_count == 10


def ours(shop: Shop) -> psycopg.Connection:
    """Connect like another worker of the portal."""
    conn = shop.server.connect(shop.database, shop.target.username, shop.target.password)
    conn.execute("SET ROLE jit_portal")
    return conn


def await_blocked(shop: Shop, pid: int) -> None:
    """Wait until a session waits for a lock."""
    await_true(shop, sql.SQL("SELECT pg_blocking_pids({}) <> '{{}}'").format(pid))


def await_blocked_by(shop: Shop, pid: int) -> None:
    """Wait until another session waits for a lock of this one."""
    await_true(
        shop, sql.SQL("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {} = ANY (pg_blocking_pids(pid)))").format(pid)
    )


def await_true(shop: Shop, question: sql.Composed) -> None:
    until = time.monotonic() + 60
    with shop.as_dba() as dba:
        while dba.execute(question).fetchone() != (True,):
            assert time.monotonic() < until, question
