"""A list of hosts is followed through a failover; a standby leads to its primary by itself where that can be proven."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import RungState, SslMode, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect import hosts, pool
from accessmgmt.provisioning.connect.admin import admin_connection, close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.process import wait_until
from devstack.stack import wait_for_replay
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, make_shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")


@dataclass
class Cluster:
    """Two servers of one port on two addresses; `target` names both."""

    shop: Shop
    first: PostgresServer
    second: PostgresServer
    target: Target

    def promote_second(self) -> None:
        self.second.execute("SELECT pg_promote()")


@pytest.fixture(params=[14, 18])
def cluster(
    request: pytest.FixtureRequest, servers_directory: Path, certificate_authority: CertificateAuthority
) -> Iterator[Cluster]:
    version: int = request.param
    first = PostgresServer(
        version, servers_directory / f"list-a-{version}", tls=certificate_authority.server(["127.0.0.1"]), durable=False
    ).start()
    shop = make_shop(first, certificate_authority, is_superuser=False)
    second = first.create_standby(
        servers_directory / f"list-b-{version}",
        tls=certificate_authority.server(["127.0.0.2"]),
        port=first.port,
        listen="127.0.0.2",
    ).start()
    yield Cluster(shop, first, second, replace(shop.target, name=f"list-{version}", host="127.0.0.2,127.0.0.1"))
    close_pools()
    second.destroy()
    first.destroy()


def test_a_grant_outlives_the_death_of_its_primary(cluster: Cluster) -> None:
    """The old grant ends, and a new one is made, on the server that was promoted."""
    order = new_order(ORDERS)
    receipt = apply_grant(cluster.target, order)
    ending = as_made(order, role_oid=receipt.role_oid)
    wait_for_replay(cluster.first, cluster.second)
    cluster.first.kill()
    with pytest.raises(TargetUnavailable, match=r"No server of .* takes changes now") as refusal:
        end_grant(cluster.target, to_end(ending))
    assert "127.0.0.2: a standby" in refusal.value.why
    assert "127.0.0.1: no connection" in refusal.value.why

    cluster.promote_second()
    user = cluster.second.connect(cluster.shop.database, order.login.role_name, order.password)
    ended = end_grant(cluster.target, to_end(ending))

    assert not ended.role_was_absent
    assert [cut.server for cut in ended.sessions] == ["primary"]
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    later = new_order(ORDERS)
    receipt = apply_grant(cluster.target, later)
    cluster.second.connect(cluster.shop.database, later.login.role_name, later.password).close()
    assert end_grant(cluster.target, to_end(later, role_oid=receipt.role_oid)).role_was_absent is False


def test_a_session_on_another_host_of_the_list_is_cut_too(cluster: Cluster) -> None:
    order = new_order(ORDERS)
    receipt = apply_grant(cluster.target, order)
    wait_for_replay(cluster.first, cluster.second)
    on_standby = cluster.second.connect(cluster.shop.database, order.login.role_name, order.password)
    ended = end_grant(cluster.target, to_end(order, role_oid=receipt.role_oid))
    assert [cut.server for cut in ended.sessions] == ["standby"]
    with pytest.raises(psycopg.OperationalError):
        on_standby.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        cluster.second.connect(cluster.shop.database, order.login.role_name, order.password)


def test_a_host_that_is_gone_does_not_keep_grants_ending(cluster: Cluster) -> None:
    order = new_order(ORDERS)
    receipt = apply_grant(cluster.target, order)
    cluster.second.kill()
    ended = end_grant(cluster.target, to_end(order, role_oid=receipt.role_oid))
    assert [unseen.host for unseen in ended.unseen_hosts] == ["127.0.0.2"]


def test_idle_connections_to_the_dead_primary_are_not_used(cluster: Cluster) -> None:
    with admin_connection(cluster.target) as one, admin_connection(cluster.target) as other:
        pids = {one.info.backend_pid, other.info.backend_pid}
        assert {one.info.host, other.info.host} == {"127.0.0.1"}
    with admin_connection(cluster.target) as conn:
        assert conn.info.backend_pid in pids
    wait_for_replay(cluster.first, cluster.second)
    cluster.first.stop("immediate")
    cluster.promote_second()
    with admin_connection(cluster.target) as conn:
        assert conn.info.host == "127.0.0.2"
        assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    # The one that was good is asked first, whatever the list's order.
    assert hosts.hosts_in_order(cluster.target)[0] == "127.0.0.2"


def test_the_ladder_of_a_list(cluster: Cluster) -> None:
    cluster.first.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", dbname=cluster.shop.database)  # open on 14
    rungs = list(ladder.test_connection(cluster.target))
    assert {r.state for r in rungs} == {RungState.PASSED}, rungs
    found = {r.name: r.detail for r in rungs}
    assert found["Port"].startswith("127.0.0.2, 127.0.0.1 answer on port")
    assert found["Server"].endswith("primary: 127.0.0.1 of the list.")


def test_a_list_of_which_the_first_does_not_answer(cluster: Cluster) -> None:
    dead_first = replace(cluster.target, host="127.0.0.3,127.0.0.1")
    order = new_order(ORDERS)
    receipt = apply_grant(dead_first, order)
    end_grant(dead_first, to_end(order, role_oid=receipt.role_oid))


def test_a_frozen_server_is_noticed_before_a_connection_is_lent(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that lost its power closes nothing: only an answer shows that a connection lives."""
    monkeypatch.setattr(pool, "ASKED_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(pool, "ANSWER_SECONDS", 0.2)
    with admin_connection(cluster.target) as conn:
        pid = conn.info.backend_pid
    with admin_connection(cluster.target) as conn:
        assert conn.info.backend_pid == pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with admin_connection(cluster.target) as conn:
            assert conn.info.backend_pid != pid
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_standby_finds_its_primary_by_itself(cluster: Cluster) -> None:
    alone = replace(cluster.target, name="alone", host="127.0.0.2")
    # The standby says "localhost": the name in its primary_conninfo. The primary's certificate has to be for it.
    rung = next(r for r in ladder.test_connection(replace(alone, ssl_mode=SslMode.VERIFY_CA)) if r.name == "Primary")
    assert rung.state is RungState.PASSED
    assert "found by itself: localhost" in rung.detail
    order = new_order(ORDERS)
    target = replace(alone, ssl_mode=SslMode.VERIFY_CA)
    receipt = apply_grant(target, order)
    assert "replay" in receipt.steps_ms
    user = cluster.second.connect(cluster.shop.database, order.login.role_name, order.password)
    ended = end_grant(target, to_end(order, role_oid=receipt.role_oid))
    assert [cut.server for cut in ended.sessions] == ["standby"]
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    # A certificate that does not fit the name is no proof.
    with pytest.raises(TargetRefused, match="not known") as refusal:
        apply_grant(alone, new_order(ORDERS))
    assert refusal.value.sqlstate == "25006"
    assert "not for “localhost”" in refusal.value.why
    assert "Link the resource of its primary" in refusal.value.todo


def test_a_standby_that_may_not_say_where_it_streams_from(cluster: Cluster) -> None:
    alone = replace(cluster.target, name="mute", host="127.0.0.2", ssl_mode=SslMode.VERIFY_CA)
    cluster.first.execute("REVOKE pg_monitor FROM jit_portal")
    wait_for_replay(cluster.first, cluster.second)
    order = new_order(ORDERS)
    for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
        with pytest.raises(TargetRefused, match="its primary is not known") as refusal:
            act(alone, asked)
        assert "pg_monitor" in refusal.value.why
    cluster.first.execute("GRANT pg_monitor TO jit_portal")
    wait_for_replay(cluster.first, cluster.second)
    apply_grant(alone, new_order(ORDERS))


def test_a_standby_that_is_promoted_needs_no_primary_any_more(cluster: Cluster) -> None:
    alone = replace(cluster.target, name="promoted", host="127.0.0.2", ssl_mode=SslMode.VERIFY_CA)
    order = new_order(ORDERS)
    receipt = apply_grant(alone, order)
    wait_for_replay(cluster.first, cluster.second)
    cluster.first.kill()
    cluster.promote_second()
    wait_until(lambda: not is_recovering(cluster.second), timeout=60, what="promoted")
    ended = end_grant(alone, to_end(order, role_oid=receipt.role_oid))
    assert not ended.role_was_absent


def is_recovering(server: PostgresServer) -> bool:
    with server.connect() as conn:
        return conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
