"""A sign-in that is under way when its login ends: nobody sees it as a session yet, and it must not outlive the end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end import sessions
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order

Shops = Callable[[int, bool], Shop]
VERSIONS = [14, 15, 16, 17, 18]
TRIALS, CLIENTS = 8, 4
STARTING = """
    SELECT count(*) FROM pg_locks l WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND a.usesysid IS NOT NULL)
"""


def applied(shop: Shop) -> GrantOrder:
    order = new_order()
    receipt = apply_grant(shop.target, order)
    return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)


def wait_until_starting(shop: Shop) -> None:
    """Wait until the server has a process that begins a session and is not shown as one."""
    until = time.monotonic() + 60
    with shop.as_dba() as conn:
        while conn.execute(STARTING).fetchone() == (0,):
            assert time.monotonic() < until, "nothing begins a session"
            time.sleep(0.01)


@contextmanager
def logging_in(shop: Shop, order: GrantOrder, **options: str) -> Iterator[list[psycopg.Connection]]:
    """Log in from another thread; yields a list that gets the connection, and waits for the thread in the end."""
    made: list[psycopg.Connection] = []

    def log_in() -> None:
        with suppress(psycopg.OperationalError):
            made.append(shop.log_in(order, **options))

    thread = threading.Thread(target=log_in)
    thread.start()
    try:
        yield made
    finally:
        thread.join()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_log_in_that_its_person_holds_up_does_not_outlive_the_end(shops: Shops, version: int) -> None:
    shop = shops(version, False)
    order = applied(shop)
    with logging_in(shop, order, options="-c post_auth_delay=60") as made:
        wait_until_starting(shop)
        receipt = end_grant(shop.target, to_end(order))
    for conn in made:
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    assert any("had been beginning a session" in note for note in receipt.notes)


def reconnect(
    shop: Shop, order: GrantOrder, last: list[psycopg.Connection | None], number: int, is_over: threading.Event
) -> None:
    """Log in again and again; keep the newest connection."""
    while not is_over.is_set():
        with suppress(psycopg.OperationalError):
            last[number] = shop.log_in(order)


@pytest.mark.parametrize("version", [14, 18])
def test_who_reconnects_all_the_time_is_out(shops: Shops, version: int) -> None:
    shop = shops(version, False)
    for _ in range(TRIALS):
        order, is_over = applied(shop), threading.Event()
        last: list[psycopg.Connection | None] = [None] * CLIENTS

        threads = [threading.Thread(target=reconnect, args=(shop, order, last, n, is_over)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        wait_until_starting(shop)
        end_grant(shop.target, to_end(order))
        is_over.set()
        for thread in threads:
            thread.join()
        with shop.as_dba() as conn:
            row = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s", [order.login.role_oid]
            ).fetchone()
        assert row == (0,)
        for conn in filter(None, last):
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")


def test_a_client_that_does_not_answer_the_question_for_its_password_is_left_alone(
    shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LONGEST_START_SECONDS", 0.1)
    shop = shops(18, False)
    order = applied(shop)
    with socket.create_connection(("127.0.0.1", shop.server.port), timeout=30) as wire:
        fields = b"".join(text.encode() + b"\0" for text in ("user", "postgres", "database", shop.database)) + b"\0"
        wire.sendall(struct.pack("!II", len(fields) + 8, 196608) + fields)
        assert wire.recv(1) == b"R"  # asked for its password, and says nothing
        wait_until_starting(shop)
        end_grant(shop.target, to_end(order))
        wire.setblocking(False)
        rest = wire.recv(10_000)
        assert rest
        with pytest.raises(BlockingIOError):
            wire.recv(1)  # neither closed nor told anything
