"""The check as the login role: what changes in the last moment is seen, and the receipt says only what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from tests.orders import to_end
from tests.provisioning.conftest import INSTALLATION, Shop, new_order, permissions

LAST = "log in as the login role"
# Of relations with one owner and one access list the check asks about the first: orders stands for customers.
WRITING = permissions("SELECT,INSERT", "app", "orders,customers")


@pytest.fixture(params=[18, 14])
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    """A shop of the test's own."""
    return new_shop(request.param)


@contextmanager
def changing(shop: Shop, words: str, *, how_often: int = 1, before: str = LAST) -> Iterator[None]:
    """Run SQL as the owner's DBA just before a statement of the engine, so many times."""
    done = 0

    def change(description: str) -> None:
        nonlocal done
        if description == before and done < how_often:
            done += 1
            with shop.as_dba() as dba:
                role = sql.Identifier(WRITING.capability_role_name(INSTALLATION.id))
                dba.execute(sql.SQL(words).format(role=role))  # type: ignore[arg-type]

    conversation.before_statement = change
    try:
        yield
    finally:
        conversation.before_statement = None
    assert done == how_often


@pytest.mark.parametrize(
    "words",
    [
        "REVOKE INSERT ON app.orders FROM {role}",
        "REVOKE ALL ON app.orders FROM {role}",
        "REVOKE USAGE ON SCHEMA app FROM {role}",
    ],
)
def test_what_is_missing_in_the_end_is_given_again(shop: Shop, words: str) -> None:
    """A comma list means "any of them", and a schema without USAGE closes its tables."""
    order = new_order(WRITING)
    with changing(shop, words):
        receipt = apply_grant(shop.target, order)
    assert {t.table: set(t.privileges) for t in receipt.tables} == {
        "orders": {"SELECT", "INSERT"},
        "customers": {"SELECT", "INSERT"},
    }
    with shop.log_in(order) as user:
        user.execute("INSERT INTO app.orders (item) VALUES ('x'); INSERT INTO app.customers (name) VALUES ('x')")
        user.execute("SELECT * FROM app.orders, app.customers")
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("privilege", ["UPDATE", "TRUNCATE", "TRIGGER"])
def test_what_is_too_much_in_the_end_is_refused(shop: Shop, privilege: str) -> None:
    order = new_order(WRITING)
    with (
        changing(shop, f"GRANT {privilege} ON app.orders TO {{role}}"),
        pytest.raises(TargetRefused, match="more than was approved") as refusal,
    ):
        apply_grant(shop.target, order)
    assert f"{privilege} on app.orders" in refusal.value.why
    end_grant(shop.target, to_end(order))
    assert apply_grant(shop.target, order).table_count == 2, "the next one is in order again"
    end_grant(shop.target, to_end(order))


def test_the_receipt_leaves_out_all_that_the_portal_may_not_give_however_alike(shop: Shop) -> None:
    """The check asks about one of those that are alike: when that one is lacking, each of them is asked about."""
    with shop.as_dba() as dba:
        for number in range(3):
            dba.execute(sql.SQL("CREATE TABLE app.{} (id int)").format(sql.Identifier(f"of_a_dba_{number}")))
    order = new_order(permissions("SELECT", "app", "*"))
    receipt = apply_grant(shop.target, order)
    tables = {table.table for table in receipt.tables}
    assert {"orders", "customers"} <= tables
    assert not {table for table in tables if table.startswith("of_a_dba")}
    assert receipt.table_count == len(tables)
    end_grant(shop.target, to_end(order))


def test_a_login_that_is_closed_before_the_check_is_no_success(shop: Shop) -> None:
    order = new_order(WRITING)
    with (
        changing(shop, sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(order.login.role_name)).as_string(None)),
        pytest.raises(TargetError),
    ):
        apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


def test_sessions_are_looked_for_behind_the_shut_door_and_counted_behind_the_drop(shop: Shop) -> None:
    """What was beginning a session when the door was shut is waited for: see test_starting_sessions.py."""
    order = new_order(WRITING)
    apply_grant(shop.target, order)
    sent: list[str] = []
    conversation.before_statement = sent.append
    try:
        end_grant(shop.target, to_end(order))
    finally:
        conversation.before_statement = None
    looks = [n for n, text in enumerate(sent) if text == "terminate its sessions"]
    fenced, dropped = sent.index("fence the login role"), sent.index("drop the login role")
    assert any(fenced < n < dropped for n in looks)
    assert sent.index("verify that nothing is left") > dropped


def test_doors_are_closed_in_a_transaction_of_their_own(shop: Shop) -> None:
    """With fence, termination and DROP in one transaction 21 of 25 trials left a session."""
    order = new_order(WRITING)
    apply_grant(shop.target, order)
    refused: list[bool] = []

    def try_the_door(description: str) -> None:
        if description == "drop the login role":
            with pytest.raises(psycopg.OperationalError):
                shop.log_in(order)
            refused.append(True)

    conversation.before_statement = try_the_door
    try:
        end_grant(shop.target, to_end(order))
    finally:
        conversation.before_statement = None
    assert refused == [True]
