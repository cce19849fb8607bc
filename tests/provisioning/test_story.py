"""The whole life of a grant on its target, on old and new servers, with both kinds of admin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import to_end
from tests.provisioning.conftest import Shop, new_order, permissions

SERVERS = [(18, False), (18, True), (16, False), (16, True), (14, False), (14, True)]


@pytest.fixture(params=SERVERS, ids=lambda p: f"{p[0]}-{'superuser' if p[1] else 'recipe'}")
def any_shop(request: pytest.FixtureRequest, shops: Callable[[int, bool], Shop]) -> Shop:
    return shops(*request.param)


def test_a_grant_from_its_first_login_to_its_end(any_shop: Shop) -> None:
    order = new_order(permissions("SELECT", "app", "orders,events_*"))

    receipt = apply_grant(any_shop.target, order)

    assert receipt.server_version == any_shop.server.version
    assert [t.table for t in receipt.tables] == ["events_2024", "events_2025", "orders"]
    assert receipt.table_count == 3
    assert receipt.unmatched == ()
    assert all(t.privileges == ("SELECT",) for t in receipt.tables)
    assert timedelta(minutes=59) < receipt.valid_until - receipt.verified_at <= timedelta(hours=1)

    user = any_shop.log_in(order)
    assert user.execute("SELECT item FROM app.orders WHERE id = 1").fetchall() == [("tea",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        user.execute("SELECT * FROM app.customers")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        user.execute("UPDATE app.orders SET item = 'x'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        user.execute("SELECT * FROM secret.salaries")

    ended = end_grant(any_shop.target, to_end(order))

    assert not ended.role_was_absent
    assert [s.server for s in ended.sessions] == ["primary"]
    assert ended.role_oid == receipt.role_oid
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        any_shop.log_in(order)
    assert any_shop.roles(order) == 0


def test_applying_and_ending_twice_changes_nothing(any_shop: Shop) -> None:
    order = new_order(permissions("SELECT,INSERT,UPDATE,DELETE", "app", "*"))

    first = apply_grant(any_shop.target, order)
    second = apply_grant(any_shop.target, order)

    assert (second.role_oid, second.valid_until) == (first.role_oid, first.valid_until)
    assert second.tables == first.tables
    assert not end_grant(any_shop.target, to_end(order)).role_was_absent
    again = end_grant(any_shop.target, to_end(order))
    assert again.role_was_absent
    assert again.sessions == ()
