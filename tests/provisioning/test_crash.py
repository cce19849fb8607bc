"""kill -9 at every boundary of apply, of end and of dropping a set: the next run finishes, and nothing is left over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg
import pytest

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from accessmgmt.provisioning.session import conversation
from devstack.postgres import PostgresServer
from devstack.process import wait_until
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions

DONE = 0
# On the oldest version other statements are sent: plain memberships, locks of tables. Every second boundary there.
OLD_AND_NEW = pytest.mark.parametrize(("version", "step"), [(18, 1), (14, 2)])


def run_and_die(work: Callable[[], object], boundary: int) -> bool:
    """Run work in a child that kills itself before statement number `boundary`; say whether it came to an end."""
    seen = -1

    def count(_description: str) -> bool:
        nonlocal seen
        seen += 1
        return seen == boundary

    return run_and_die_when(work, count)


def run_and_die_when(work: Callable[[], object], is_time: Callable[[str], bool]) -> bool:
    """Run work in a child that kills itself before the statement of which `is_time` says so."""
    close_pools()
    child = os.fork()
    if child == 0:

        def look(description: str) -> None:
            if is_time(description):
                os.kill(os.getpid(), signal.SIGKILL)

        conversation.before_statement = look
        try:
            work()
        except TargetError as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == DONE
    return not os.WIFSIGNALED(status)


def leftovers(shop: Shop, *orders: GrantOrder) -> int:
    with shop.as_dba() as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0]) + sum(shop.roles(order) for order in orders)


@OLD_AND_NEW
def test_apply_killed_at_every_statement(new_shop: Callable[..., Shop], version: int, step: int) -> None:
    shop = new_shop(version)
    boundary, finished = 0, False
    while not finished:
        # Another set each time, so that each child makes a capability role of its own.
        order = new_order(permissions("SELECT,INSERT", "app", f"orders,tickets,nothing_{boundary}"))
        finished = run_and_die(lambda o=order: apply_grant(shop.target, o), boundary)  # type: ignore[misc]

        receipt = apply_grant(shop.target, order)

        assert [t.table for t in receipt.tables] == ["orders", "tickets"]
        with shop.log_in(order) as user:
            user.execute("INSERT INTO app.tickets (note) VALUES ('after the crash')")
        end_grant(shop.target, to_end(order))
        assert leftovers(shop, order) == 0
        boundary += step
    assert boundary > 20


@OLD_AND_NEW
def test_end_killed_at_every_statement(shops: Callable[[int, bool], Shop], version: int, step: int) -> None:
    shop = shops(version, False)
    boundary, finished = 0, False
    while not finished:
        order = new_order(permissions("SELECT", "app", "orders"))
        receipt = apply_grant(shop.target, order)
        user = shop.log_in(order)
        user.execute("CREATE TEMP TABLE mine (id int)")
        ending = to_end(order)
        finished = run_and_die(lambda o=ending: end_grant(shop.target, o), boundary)  # type: ignore[misc]

        ended = end_grant(shop.target, to_end(order))

        assert ended.role_oid in {receipt.role_oid, None}
        assert leftovers(shop, order) == 0
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        boundary += step
    assert boundary > 12


def test_ending_what_was_never_finished(shop: Shop) -> None:
    """A grant is cancelled while its apply is killed: whatever is there goes."""
    boundary, finished = 0, False
    while not finished:
        order = new_order(permissions("SELECT", "app", "orders"))
        finished = run_and_die(lambda o=order: apply_grant(shop.target, o), boundary)  # type: ignore[misc]
        end_grant(shop.target, to_end(order))
        assert leftovers(shop, order) == 0
        boundary += 1


def applied(target: Target, count: int) -> list[GrantOrder]:
    """Apply so many orders of one set."""
    orders = [new_order(permissions("SELECT", "app", "orders")) for _ in range(count)]
    return [as_made(order, role_oid=apply_grant(target, order).role_oid) for order in orders]


def has_ended_all(target: Target, orders: Sequence[GrantOrder]) -> bool:
    return all(isinstance(outcome, EndReceipt) for outcome in end_grants(target, [to_end(order) for order in orders]))


def test_a_batch_of_endings_killed_at_every_statement(new_shop: Callable[..., Shop]) -> None:
    """One with a session, one that left a table, one whose role is gone: all end, whatever the first run had done."""
    shop = new_shop()
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    boundary, finished = 0, False
    while not finished:
        orders = applied(shop.target, 3)
        user = shop.log_in(orders[0])
        with shop.log_in(orders[1]) as owner:
            owner.execute(f"CREATE TABLE play.left_{boundary} (id int)")  # type: ignore[call-overload]
        with shop.as_dba() as dba:
            dba.execute(f'DROP ROLE "{orders[2].login.role_name}"')  # type: ignore[call-overload]
        ending = [to_end(order) for order in orders]
        finished = run_and_die(lambda o=ending: end_grants(shop.target, o), boundary)  # type: ignore[misc]

        assert has_ended_all(shop.target, orders)

        assert leftovers(shop, *orders) == 0
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        boundary += 1
    assert boundary > 15
    with shop.as_dba() as dba:
        query = "SELECT count(*), count(*) FILTER (WHERE tableowner = 'jit_quarantine') FROM pg_tables"
        query += " WHERE schemaname = 'play'"
        assert dba.execute(query).fetchall() == [(boundary, boundary)], "nothing a person made is lost"  # type: ignore[call-overload]


def test_dropping_a_set_killed_at_every_statement(new_shop: Callable[..., Shop]) -> None:
    """A capability role that is half emptied is finished by the next run, or filled again by the next apply."""
    shop = new_shop()
    wanted = permissions("SELECT,INSERT", "app", "orders,tickets")
    boundary, finished = 0, False
    while not finished:
        order = of_installation(new_order(wanted), new_installation())
        name = order.login.installation
        apply_grant(shop.target, order)
        end_grant(shop.target, to_end(order))
        finished = run_and_die(lambda n=name: retire_capabilities(shop.target, n, set()), boundary)  # type: ignore[misc]
        if boundary % 2:
            again = as_made(order, role_name=new_order().login.role_name)
            assert apply_grant(shop.target, again).table_count == 2
            with shop.log_in(again) as user:
                user.execute("INSERT INTO app.tickets (note) VALUES ('there again')")
            end_grant(shop.target, to_end(again))

        assert retire_capabilities(shop.target, name, set()).kept == {}

        assert leftovers(shop, order) == 0
        with shop.as_dba() as dba:
            query = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
            assert dba.execute(query, [wanted.capability_role_name(name)]).fetchone() == (0,)
        boundary += 1
    assert boundary > 8


PHASES = [
    "revoke a membership",
    "fence the login role",
    "wait for the standby",
    "drop the login role",
    "verify that nothing is left",
]


def test_a_batch_on_a_standby_killed_in_each_phase(
    own_server: Callable[..., PostgresServer], own_standby: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> None:
    """The second time a phase comes up too, where it does: on the standby, after the primary."""
    shop = shop_on(own_server())
    standby = own_standby(shop.server)
    target = replace(shop.target, name="replica", port=standby.port, primary=shop.target)
    for phase in PHASES:
        for occurrence in (1, 2):
            orders = applied(target, 2)
            user = standby.connect(shop.database, orders[0].login.role_name, orders[0].password)
            left = occurrence

            def is_time(description: str) -> bool:
                nonlocal left
                left -= description == phase  # noqa: B023
                return left == 0 and description == phase  # noqa: B023

            ending = [to_end(order) for order in orders]
            run_and_die_when(lambda o=ending: end_grants(target, o), is_time)  # type: ignore[misc]

            assert has_ended_all(target, orders)

            assert leftovers(shop, *orders) == 0
            with pytest.raises(psycopg.OperationalError):
                user.execute("SELECT 1")
            wait_until(lambda o=orders: roles_on(standby, o) == 0, timeout=60, what="replayed")  # type: ignore[misc]


def roles_on(server: PostgresServer, orders: Sequence[GrantOrder]) -> int:
    with server.connect() as conn:
        query = "SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)"
        row = conn.execute(query, [[order.login.role_name for order in orders]]).fetchone()
    assert row is not None
    return int(row[0])
