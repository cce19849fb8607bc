"""A standby that links its primary is promoted: the engine goes on there, and says what is outdated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect import primary, replay
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.connect.hosts import Servers
from accessmgmt.provisioning.connect.primary import link_trouble
from accessmgmt.provisioning.drift.resync import resync_sets
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session.conversation import Session
from devstack.accounts import give
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.stack import wait_for_replay
from tests.orders import as_made, to_end
from tests.provisioning.conftest import INSTALLATION, Shop, make_shop, new_order, permissions, target_of

ORDERS = permissions("SELECT", "app", "orders")


@dataclass
class Pair:
    """A primary and its standby; `replica` is the standby's resource, which links `main`."""

    shop: Shop
    first: PostgresServer
    second: PostgresServer
    replica: Target

    @property
    def main(self) -> Target:
        assert self.replica.primary is not None
        return self.replica.primary

    def grant(self) -> tuple[GrantOrder, psycopg.Connection]:
        """Give access on the standby and log in there; return the order that ends it."""
        order = new_order(ORDERS)
        receipt = apply_grant(self.replica, order)
        user = self.second.connect(self.shop.database, order.login.role_name, order.password)
        return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier), user

    def promote_second(self) -> None:
        self.second.execute("SELECT pg_promote()")
        assert not is_recovering(self.second)

    def works(self) -> None:
        """Give access on the replica's own host, use it, and take it away."""
        order, user = self.grant()
        assert user.execute("SELECT item FROM app.orders LIMIT 1").fetchall() == [("tea",)]
        assert end_grant(self.replica, to_end(order)).role_was_absent is False
        assert is_cut(user)

    def roles(self, server: PostgresServer, order: GrantOrder) -> int:
        with server.connect() as conn:
            rows = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [order.login.role_name]).fetchall()
        return len(rows)


def is_recovering(server: PostgresServer) -> bool:
    with server.connect() as conn:
        return conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def is_cut(user: psycopg.Connection) -> bool:
    try:
        user.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def start_following(server: PostgresServer, primary: PostgresServer) -> None:
    """Start a server that was stopped in order as a standby of another one."""
    signal = server.data / "standby.signal"
    signal.touch()
    give(signal, server._account)
    server.settings.update(primary_conninfo=primary.dsn())
    server.start()
    wait_for_replay(primary, server)


@pytest.fixture(params=[14, 18])
def pair(
    request: pytest.FixtureRequest, servers_directory: Path, certificate_authority: CertificateAuthority
) -> Iterator[Pair]:
    version: int = request.param
    tls = certificate_authority.server()
    first = PostgresServer(version, servers_directory / f"promoted-a-{version}", tls=tls, durable=False).start()
    shop = make_shop(first, certificate_authority, is_superuser=False)
    second = first.create_standby(servers_directory / f"promoted-b-{version}", tls=tls).start()
    replica = target_of(second, certificate_authority, shop.database, shop.target.username)
    main = replace(shop.target, name="main")
    primary._reached.clear()
    yield Pair(shop, first, second, replace(replica, name="replica", primary=main))
    close_pools()
    second.destroy()
    first.destroy()


def test_a_link_that_holds(pair: Pair) -> None:
    assert link_trouble(pair.replica) is None
    assert primary.find_servers(pair.replica) == Servers(pair.replica.primary, pair.replica)


def test_the_old_primary_is_dead(pair: Pair) -> None:
    order, user = pair.grant()
    later, _ = pair.grant()
    pair.first.kill()
    with pytest.raises(TargetUnavailable):  # not promoted yet: nobody takes changes
        end_grant(pair.replica, to_end(order))
    pair.promote_second()

    ended = end_grant(pair.replica, to_end(order))

    assert not ended.role_was_absent
    assert is_cut(user)
    assert pair.roles(pair.second, order) == 0
    assert [unseen.host for unseen in ended.unseen_hosts] == ["localhost"]
    trouble = link_trouble(pair.replica)
    assert trouble is not None
    assert "links “main” as its primary, and that is out of date" in trouble.what
    assert "“main” is out of reach" in trouble.why
    pair.works()
    # Forgotten by the portal's processes, and found again.
    close_pools()
    primary._reached.clear()
    assert end_grant(pair.replica, to_end(later)).role_was_absent is False


def test_the_roles_of_the_two_are_swapped(pair: Pair) -> None:
    order, user = pair.grant()
    pair.first.stop()
    pair.promote_second()
    start_following(pair.first, pair.second)
    on_the_old = pair.first.connect(pair.shop.database, order.login.role_name, order.password)

    ended = end_grant(pair.replica, to_end(order))

    assert {cut.server for cut in ended.sessions} == {"primary", "standby"}
    assert is_cut(user)
    assert is_cut(on_the_old)
    assert not ended.unseen_hosts
    trouble = link_trouble(pair.replica)
    assert trouble is not None
    assert "“main” is a standby now" in trouble.why
    pair.works()


def test_only_the_new_primary_is_out_of_reach(pair: Pair) -> None:
    """What it links is a standby, and no role can be ended there: it is said, tried again, and its sessions are cut."""
    order, _ = pair.grant()
    pair.first.stop()
    pair.promote_second()
    start_following(pair.first, pair.second)
    on_the_old = pair.first.connect(pair.shop.database, order.login.role_name, order.password)
    pair.second.stop()
    with pytest.raises(TargetUnavailable, match=f"port {pair.second.port}"):
        end_grant(pair.replica, to_end(order))
    assert is_cut(on_the_old)
    with pytest.raises(TargetUnavailable, match=f"port {pair.second.port}"):
        apply_grant(pair.replica, new_order(ORDERS))
    pair.second.start()
    primary._reached.clear()  # half a minute later
    wait_for_replay(pair.second, pair.first)
    assert end_grant(pair.replica, to_end(order)).role_was_absent is False


def test_a_cluster_that_has_parted_gets_no_new_access(pair: Pair) -> None:
    pair.promote_second()
    for give_access in (
        lambda: apply_grant(pair.replica, new_order(ORDERS)),
        lambda: resync_sets(pair.replica, INSTALLATION, [ORDERS]),
    ):
        with pytest.raises(TargetRefused, match=r"“replica” and “main”.*both take changes") as refusal:
            give_access()
        assert "Shut down the one that is not to go on" in refusal.value.todo
        assert refusal.value.sqlstate == "25006"
    with pair.second.connect() as conn:
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname ~ '^jit_alice'").fetchone() == (0,)
    trouble = link_trouble(pair.replica)
    assert trouble is not None
    assert "both take changes" in trouble.what


def test_a_third_server_was_promoted(
    pair: Pair, servers_directory: Path, certificate_authority: CertificateAuthority
) -> None:
    version = pair.first.version
    third = pair.first.create_standby(
        servers_directory / f"promoted-c-{version}", tls=certificate_authority.server()
    ).start()
    try:
        order, user = pair.grant()
        wait_for_replay(pair.first, third)
        pair.first.kill()
        third.execute("SELECT pg_promote()")
        pair.second.settings.update(primary_conninfo=third.dsn(), primary_slot_name="")
        pair.second.reload()
        wait_for_replay(third, pair.second)
        ended = end_grant(pair.replica, to_end(order))
        assert is_cut(user)
        assert {cut.server for cut in ended.sessions} == {"standby"}
        assert pair.roles(third, order) == pair.roles(pair.second, order) == 0
        trouble = link_trouble(pair.replica)
        assert trouble is not None
        assert f"roles are made at localhost port {third.port}" in trouble.why
        pair.works()
    finally:
        close_pools()
        third.destroy()


def test_both_are_standbys_of_a_server_that_is_gone(pair: Pair) -> None:
    """After a switchover by halves nobody takes changes: the engine waits, and names both."""
    order, _ = pair.grant()
    pair.first.stop()
    signal = pair.first.data / "standby.signal"
    signal.touch()
    give(signal, pair.first._account)
    pair.first.settings.update(primary_conninfo="host=127.0.0.9 port=1 connect_timeout=1")
    pair.first.start()
    for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
        with pytest.raises(TargetUnavailable, match="Neither “replica” nor “main”"):
            act(pair.replica, asked)
    pair.promote_second()
    pair.first.settings.update(primary_conninfo=pair.second.dsn())
    pair.first.reload()
    wait_for_replay(pair.second, pair.first)
    assert end_grant(pair.replica, to_end(order)).role_was_absent is False


def test_a_promotion_in_the_middle_of_the_work(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The primary dies behind the login's commit: the engine looks again who takes changes, and goes on there."""
    waits: list[str] = []

    def fail_over_then_wait(session: Session, lsn: str) -> None:
        if not waits:
            wait_for_replay(pair.first, pair.second)
            pair.first.kill()
            pair.promote_second()
        waits.append(lsn)
        replay.wait_for_replay(session, lsn)

    monkeypatch.setattr("accessmgmt.provisioning.apply.grant.wait_for_replay", fail_over_then_wait)
    order = new_order(ORDERS)
    apply_grant(pair.replica, order)
    assert len(waits) == 1
    pair.second.connect(pair.shop.database, order.login.role_name, order.password).close()


def test_a_link_to_another_cluster_is_refused(pair: Pair, shop: Shop) -> None:
    pair.promote_second()
    order = new_order(ORDERS)
    wrong = replace(pair.replica, primary=replace(shop.target, name="stranger"))
    with pytest.raises(TargetRefused, match="links “stranger” as its primary, and that is another cluster"):
        apply_grant(wrong, order)
    assert shop.roles(order) == 0
