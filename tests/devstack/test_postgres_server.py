"""PostgreSQL servers start, restart, survive a kill and stop, on each supported version."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.accounts import server_account
from devstack.postgres import VERSIONS, PostgresServer
from devstack.process import descendants, processes_of, wait_until


@pytest.fixture
def new_server(server_folder: Path) -> Iterator[Callable[..., PostgresServer]]:
    servers: list[PostgresServer] = []

    def make(version: int = 18, **options: object) -> PostgresServer:
        server = PostgresServer(version, server_folder / f"server-{len(servers)}", durable=False, **options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.destroy()


@pytest.mark.parametrize("version", VERSIONS)
def test_starts_and_stops(new_server, version):
    server = new_server(version).start()
    with server.connect() as conn:
        assert conn.info.server_version // 10000 == version
        assert conn.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)
    pid = server.pid
    server.stop()
    assert not server.is_running
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(psycopg.OperationalError):
        server.connect()


def test_restart_keeps_the_port_and_the_data(new_server):
    server = new_server().start()
    port = server.port
    server.execute("CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)")
    server.restart()
    assert server.port == port
    with server.connect() as conn:
        assert conn.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_starts_after_every_process_was_killed(new_server):
    server = new_server().start()
    server.execute("CREATE TABLE kept (id int)")
    children = descendants(server.pid)
    assert children
    server.kill()
    assert not any(child.is_alive for child in children)
    assert (server.data / "postmaster.pid").exists()
    server.start()
    server.execute("SELECT * FROM kept")


def test_a_server_left_by_another_runner_is_taken_over(new_server):
    left = new_server().start()
    again = PostgresServer(18, left.directory, durable=False, port=left.port)
    try:
        again.start()
        assert again.pid != left.pid
        assert not left.is_running
        again.execute("SELECT 1")
    finally:
        again.stop()


def test_two_servers_have_different_identifiers(new_server):
    first, second = new_server().start(), new_server().start()
    assert first.system_identifier != second.system_identifier


def test_a_taken_port_is_given_up_for_another(new_server):
    first = new_server().start()
    second = new_server()
    second._port = first.port
    second.start()
    assert second.port != first.port


def test_settings_and_preloaded_libraries_take_effect(new_server):
    server = new_server(settings={"shared_preload_libraries": "pg_stat_statements", "max_connections": 20})
    server.start().execute("CREATE EXTENSION pg_stat_statements", "SELECT count(*) FROM pg_stat_statements")
    with server.connect() as conn:
        assert conn.execute("SHOW max_connections").fetchone() == ("20",)


def test_hba_replaces_the_default_rules(new_server):
    server = new_server(hba=["host all postgres 127.0.0.1/32 scram-sha-256"]).start()
    server.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf"):
        server.connect(user="stranger", password="x")


def test_the_password_is_needed_and_kept_private(new_server):
    server = new_server().start()
    with pytest.raises(psycopg.OperationalError):
        server.connect(password="wrong")
    assert (server.directory / "superuser.password").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
def test_root_drops_privileges_even_below_a_private_folder(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with PostgresServer(18, private / "server", durable=False) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert set(uids) == {str(server_account().uid)}
        server.execute("CREATE TABLE written (id int)", "CHECKPOINT")


def test_nothing_is_left_after_destroy(new_server):
    server = new_server().start()
    assert processes_of(server.directory)
    server.destroy()
    assert not processes_of(server.directory)
    assert not server.directory.exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_standby_streams(new_server, server_folder, version):
    primary = new_server(version).start()
    primary.execute("CREATE TABLE before_copy (id int)")
    standby = primary.create_standby(server_folder / "standby").start()
    try:
        primary.execute("CREATE TABLE after_copy (id int)", "CREATE ROLE someone")
        with primary.connect() as conn, standby.connect() as replica:
            (lsn,) = conn.execute("SELECT pg_current_wal_lsn()").fetchone()
            replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            wait_until(lambda: replica.execute(replayed, [lsn]).fetchone()[0], timeout=60, what="replay")
            replica.execute("SELECT FROM before_copy, after_copy")
            assert replica.info.parameter_status("in_hot_standby") == "on"
        assert standby.system_identifier == primary.system_identifier
    finally:
        standby.destroy()
