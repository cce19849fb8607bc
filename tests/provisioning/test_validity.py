"""VALID UNTIL: by the server's clock, whatever its settings; it closes the door when the portal is dead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.postgres import VERSIONS
from devstack.process import wait_until
from tests.orders import to_end
from tests.provisioning.conftest import Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")


def stored_end(shop: Shop, order: GrantOrder) -> float:
    """Return the role's VALID UNTIL as seconds since 1970: no format, no zone."""
    with shop.as_dba() as dba:
        query = "SELECT extract(epoch FROM rolvaliduntil)::float8 FROM pg_roles WHERE rolname = %s"
        row = dba.execute(query, [order.login.role_name]).fetchone()
    assert row is not None
    return float(row[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_it_means_the_same_instant_whatever_zone_and_date_style(new_shop: Callable[..., Shop], version: int) -> None:
    """Text without an offset is read in the session's zone; Tokyo moved it by nine hours."""
    shop = new_shop(version)
    with shop.as_dba() as dba:
        for name in ("jit_portal", shop.target.username):
            for words in ("timezone = 'Asia/Tokyo'", "datestyle = 'German, DMY'", "intervalstyle = 'iso_8601'"):
                dba.execute(sql.SQL("ALTER ROLE {} SET " + words).format(sql.Identifier(name)))  # type: ignore[arg-type]
        for words in ("timezone = 'America/St_Johns'", "datestyle = 'SQL, MDY'"):
            dba.execute(sql.SQL("ALTER DATABASE {} SET " + words).format(sql.Identifier(shop.database)))  # type: ignore[arg-type]
    close_pools()
    order = new_order(ORDERS, ttl_seconds=5_400)
    began, slack = datetime.now(UTC), timedelta(seconds=5)
    receipt = apply_grant(shop.target, order)
    assert abs(stored_end(shop, order) - receipt.valid_until.timestamp()) < 0.001
    assert began - slack < receipt.valid_until - timedelta(seconds=5_400) < datetime.now(UTC) + slack
    assert receipt.valid_until.utcoffset() == timedelta(0)

    again = apply_grant(shop.target, replace(order, ttl_seconds=99_999))
    assert again.valid_until == receipt.valid_until, "trying again lengthens nothing"
    assert abs(stored_end(shop, order) - receipt.valid_until.timestamp()) < 0.001
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", [18])
def test_a_login_ends_in_time_though_the_portal_is_dead(new_shop: Callable[..., Shop], version: int) -> None:
    """New sign-ins only; an open session goes on until somebody cuts it."""
    shop = new_shop(version)
    order = new_order(ORDERS, ttl_seconds=2)
    apply_grant(shop.target, order)
    user = shop.log_in(order)
    close_pools()

    def is_refused() -> bool:
        try:
            shop.log_in(order).close()
        except psycopg.OperationalError:
            return True
        return False

    wait_until(is_refused, timeout=60, what="the login's time is over")
    assert user.execute("SELECT 1").fetchall() == [(1,)]
    assert len(end_grant(shop.target, to_end(order)).sessions) == 1
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")


def test_a_login_whose_time_is_over_is_not_made_alive_again(shop: Shop) -> None:
    order = new_order(ORDERS, ttl_seconds=3_600)
    apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        dba.execute(
            sql.SQL("ALTER ROLE {} VALID UNTIL '2020-01-01 00:00:00+00'").format(sql.Identifier(order.login.role_name))
        )
    with pytest.raises(TargetRefused, match="over already"):
        apply_grant(shop.target, order)
    assert stored_end(shop, order) == datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    end_grant(shop.target, to_end(order))
