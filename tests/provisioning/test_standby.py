"""A resource that is a standby: roles are made on its primary, people log in on the standby."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import RungState, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import admin_session, close_pools
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.roles import drop_role
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.stack import wait_for_replay
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, make_shop, new_order, permissions, target_of


@dataclass(frozen=True)
class Pair:
    primary: Shop
    standby: PostgresServer
    target: Target

    def log_in(self, role: str, password: str) -> psycopg.Connection:
        return self.standby.connect(self.primary.database, role, password)


@pytest.fixture(scope="module")
def pair(servers_directory: Path, certificate_authority: CertificateAuthority) -> Iterator[Pair]:
    primary = PostgresServer(
        18, servers_directory / "pair-primary", tls=certificate_authority.server(), durable=False
    ).start()
    shop = make_shop(primary, certificate_authority, is_superuser=False)
    standby = primary.create_standby(servers_directory / "pair-standby", tls=certificate_authority.server()).start()
    target = replace(
        target_of(standby, certificate_authority, shop.database, shop.target.username),
        name="replica",
        primary=shop.target,
    )
    yield Pair(shop, standby, target)
    standby.destroy()
    primary.destroy()


def test_a_grant_on_a_standby(pair: Pair) -> None:
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(pair.target, order)
    assert "replay" in receipt.steps_ms
    user = pair.log_in(order.login.role_name, order.password)
    assert user.execute("SELECT item FROM app.orders LIMIT 1").fetchall() == [("tea",)]

    ended = end_grant(pair.target, to_end(order, role_oid=receipt.role_oid))

    assert [s.server for s in ended.sessions] == ["standby"]
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        pair.log_in(order.login.role_name, order.password)
    assert end_grant(pair.target, to_end(order, role_oid=receipt.role_oid)).role_was_absent


def test_a_standby_that_is_out_of_reach_keeps_the_grant_ending(pair: Pair) -> None:
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(pair.target, order)
    ending = as_made(order, role_oid=receipt.role_oid)
    pair.standby.stop()
    try:
        with pytest.raises(TargetUnavailable, match="is gone from the primary"):
            end_grant(pair.target, to_end(ending))
        assert pair.primary.roles(order) == 0
        with pytest.raises(TargetUnavailable):
            end_grant(pair.target, to_end(ending))
    finally:
        pair.standby.start()
    assert end_grant(pair.target, to_end(ending)).role_was_absent


def test_a_standby_that_lags(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accessmgmt.provisioning.connect.replay.LONGEST_WAIT_SECONDS", 0.3)
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(pair.target, order)
    ending = as_made(order, role_oid=receipt.role_oid)
    user = pair.log_in(order.login.role_name, order.password)
    with pair.standby.connect() as dba:
        dba.execute("SELECT pg_wal_replay_pause()")
        try:
            with pytest.raises(TargetUnavailable, match="is gone from the primary"):
                end_grant(pair.target, to_end(ending))
            with pytest.raises(psycopg.OperationalError):  # cut all the same
                user.execute("SELECT 1")
            late = new_order(permissions("SELECT", "app", "orders"))
            with pytest.raises(TargetUnavailable, match="lags behind"):
                apply_grant(pair.target, late)
        finally:
            dba.execute("SELECT pg_wal_replay_resume()")
    monkeypatch.undo()
    assert end_grant(pair.target, to_end(ending)).role_was_absent
    apply_grant(pair.target, late)
    end_grant(pair.target, to_end(late))


def test_a_standby_whose_primary_cannot_be_found(pair: Pair) -> None:
    alone = mute(pair)
    order = new_order()
    for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
        with pytest.raises(TargetRefused) as refusal:
            act(alone, asked)
        assert refusal.value.sqlstate == "25006"
        assert "Link the resource of its primary" in refusal.value.todo


def test_a_standby_is_told_from_a_server_that_defaults_to_read_only(pair: Pair) -> None:
    """On the primary the default is overridden; on the standby nothing is, and its primary is asked."""
    setting = sql.SQL("ALTER DATABASE {} {} default_transaction_read_only")
    database = sql.Identifier(pair.primary.database)
    with pair.primary.server.connect() as dba:
        dba.execute(setting.format(database, sql.SQL("SET")) + sql.SQL(" = on"))
    wait_for_replay(pair.primary.server, pair.standby)
    try:
        close_pools()
        alone = replace(pair.primary.target, host="localhost", port=pair.standby.port, name="alone")
        order = new_order(permissions("SELECT", "app", "orders"))
        with (
            admin_session(alone, Budget(10)) as session,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refusal,
        ):
            session.send([drop_role("jit_nobody")])
        assert refusal.value.sqlstate == "25006"
        receipt = apply_grant(pair.target, order)
        user = pair.log_in(order.login.role_name, order.password)
        ended = end_grant(pair.target, to_end(order, role_oid=receipt.role_oid))
        assert [s.server for s in ended.sessions] == ["standby"]
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
    finally:
        with pair.primary.server.connect() as dba:
            dba.execute(setting.format(database, sql.SQL("RESET")))
        wait_for_replay(pair.primary.server, pair.standby)


def mute(pair: Pair) -> Target:
    """The pair's standby without a link, and a credential that may not read from where it streams."""
    with pair.primary.as_dba() as conn:
        row = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = 'no_monitor'").fetchone()
        if row is None:
            conn.execute("CREATE ROLE no_monitor LOGIN CREATEROLE PASSWORD 'pa55-word'")
            conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO no_monitor").format(sql.Identifier(conn.info.dbname)))
    wait_for_replay(pair.primary.server, pair.standby)
    return replace(pair.target, primary=None, username="no_monitor", password="pa55-word")


def test_the_ladder_of_a_standby(pair: Pair, shop: Shop) -> None:
    def primary_rung(target: Target) -> tuple[RungState, str]:
        rung = next(r for r in ladder.test_connection(target) if r.name == "Primary")
        return rung.state, rung.detail

    rungs = list(ladder.test_connection(pair.target))
    assert {r.state for r in rungs} == {RungState.PASSED}, rungs
    assert "found by itself: localhost" in primary_rung(replace(pair.target, primary=None))[1]
    assert primary_rung(mute(pair))[0] is RungState.FAILED
    assert "another cluster" in primary_rung(replace(pair.target, primary=shop.target))[1]
    assert "standby itself" in primary_rung(replace(pair.target, primary=replace(pair.target, primary=None)))[1]
    assert "no standby" in primary_rung(replace(shop.target, primary=pair.primary.target))[1]
