"""max_connections and min_connections: what they bound on the server, and in a process of the portal."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from accessmgmt.provisioning.apply import apply_grant
from accessmgmt.provisioning.end import end_grant
from tests.provisioning.conftest import Shop, new_order, permissions


@pytest.mark.parametrize(("given", "limit"), [(3, 3), (None, 20)])
def test_a_login_has_as_many_sessions_as_the_resource_says(shop: Shop, given: int | None, limit: int) -> None:
    target = replace(shop.target, max_connections=given)
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(target, order)
    open_ones = [shop.log_in(order) for _ in range(limit)]
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        shop.log_in(order)
    for conn in open_ones:
        conn.close()
    end_grant(target, replace(order, role_oid=receipt.role_oid))
