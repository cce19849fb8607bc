"""A cluster whose two servers both take changes: an ending shuts both, and says so."""

from __future__ import annotations

import pytest

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from devstack.stack import wait_for_replay
from tests.orders import as_made, to_end
from tests.provisioning.conftest import new_order
from tests.provisioning.test_failover import Cluster, cluster  # noqa: F401
from tests.provisioning.test_promoted import ORDERS, Pair, is_cut, pair  # noqa: F401


def test_endings_shut_both_sides_of_a_link(pair: Pair) -> None:  # noqa: F811
    order, user = pair.grant()
    pair.promote_second()
    on_the_old = pair.first.connect(pair.shop.database, order.login.role_name, order.password)

    ended = end_grant(pair.replica, to_end(order))

    assert pair.roles(pair.first, order) == pair.roles(pair.second, order) == 0
    assert is_cut(user)
    assert is_cut(on_the_old)
    assert len(ended.sessions) == 2
    assert any("both take changes" in note for note in ended.notes)
    assert any("“main” takes changes, too" in note for note in ended.notes)
    assert end_grant(pair.replica, to_end(order)).role_was_absent


def test_what_cannot_be_ended_on_the_other_side_keeps_the_grant_ending(pair: Pair) -> None:  # noqa: F811
    order, _ = pair.grant()
    pair.promote_second()
    tag = order.login.tag
    with pair.first.connect(pair.shop.database) as dba:
        dba.execute(f"SET lock_timeout = 0; BEGIN; COMMENT ON ROLE {order.login.role_name} IS '{tag}'")  # type: ignore[arg-type]
        with pytest.raises(TargetUnavailable):
            end_grant(pair.replica, to_end(order))
        assert pair.roles(pair.second, order) == 0
        dba.execute("ROLLBACK")
    end_grant(pair.replica, to_end(order))
    assert pair.roles(pair.first, order) == 0


def test_endings_shut_both_sides_of_a_list(cluster: Cluster) -> None:  # noqa: F811
    order = new_order(ORDERS)
    receipt = apply_grant(cluster.target, order)
    ending = as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)
    wait_for_replay(cluster.first, cluster.second)
    cluster.promote_second()
    users = [
        s.connect(cluster.shop.database, order.login.role_name, order.password) for s in (cluster.first, cluster.second)
    ]

    ended = end_grant(cluster.target, to_end(ending))

    assert [is_cut(user) for user in users] == [True, True]
    for server in (cluster.first, cluster.second):
        with server.connect() as conn:
            found = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [order.login.role_name]).fetchall()
        assert found == []
    assert any("takes changes, too" in note for note in ended.notes)


def test_the_receipt_says_that_the_link_is_out_of_date(pair: Pair) -> None:  # noqa: F811
    order, _ = pair.grant()
    pair.first.kill()
    pair.promote_second()
    ended = end_grant(pair.replica, to_end(order))
    assert any("links “main” as its primary, and that is out of date" in note for note in ended.notes)
