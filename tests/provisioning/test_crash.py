"""kill -9 at every boundary of apply and of end: the next run finishes, and nothing is left over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import GrantOrder
from accessmgmt.provisioning import execute
from accessmgmt.provisioning.apply import apply_grant
from accessmgmt.provisioning.connect import close_pools
from accessmgmt.provisioning.end import end_grant
from tests.provisioning.conftest import Shop, new_order, permissions

DONE = 0


def run_and_die(work: Callable[[], object], boundary: int) -> bool:
    """Run work in a child that kills itself before statement number `boundary`; say whether it came to an end."""
    close_pools()
    child = os.fork()
    if child == 0:
        seen = 0

        def count(description: str) -> None:
            nonlocal seen
            if seen == boundary:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

        execute.before_statement = count
        try:
            work()
        except TargetError as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == DONE
    return not os.WIFSIGNALED(status)


def leftovers(shop: Shop, order: GrantOrder) -> int:
    with shop.as_dba() as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0]) + shop.roles(order)


def test_apply_killed_at_every_statement(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    boundary, finished = 0, False
    while not finished:
        # Another set each time, so that each child makes a capability role of its own.
        order = new_order(permissions("SELECT,INSERT", "app", f"orders,tickets,nothing_{boundary}"))
        finished = run_and_die(lambda o=order: apply_grant(shop.target, o), boundary)  # type: ignore[misc]

        receipt = apply_grant(shop.target, order)

        assert [t.table for t in receipt.tables] == ["orders", "tickets"]
        with shop.log_in(order) as user:
            user.execute("INSERT INTO app.tickets (note) VALUES ('after the crash')")
        end_grant(shop.target, order)
        assert leftovers(shop, order) == 0
        boundary += 1
    assert boundary > 20


def test_end_killed_at_every_statement(shop: Shop) -> None:
    boundary, finished = 0, False
    while not finished:
        order = new_order(permissions("SELECT", "app", "orders"))
        receipt = apply_grant(shop.target, order)
        user = shop.log_in(order)
        user.execute("CREATE TEMP TABLE mine (id int)")
        finished = run_and_die(lambda o=order: end_grant(shop.target, o), boundary)  # type: ignore[misc]

        ended = end_grant(shop.target, order)

        assert ended.role_oid in {receipt.role_oid, None}
        assert leftovers(shop, order) == 0
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        boundary += 1
    assert boundary > 12


def test_ending_what_was_never_finished(shop: Shop) -> None:
    """A grant is cancelled while its apply is killed: whatever is there goes."""
    boundary, finished = 0, False
    while not finished:
        order = new_order(permissions("SELECT", "app", "orders"))
        finished = run_and_die(lambda o=order: apply_grant(shop.target, o), boundary)  # type: ignore[misc]
        end_grant(shop.target, order)
        assert leftovers(shop, order) == 0
        boundary += 1
