"""Servers that stay for the next run: taken up, started anew, brought back to empty, stopped; nobody else's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import kept_servers
from devstack.kept_database import keep_database, restore_database
from devstack.kept_servers import kept_place, servers_in, stop_servers
from devstack.paths import ROOT
from devstack.postgres import PostgresServer
from devstack.pytest_servers import drop_everything
from devstack.redis import RedisServer

START = """
import sys
from pathlib import Path
from devstack.{module} import {kind}
server = {kind}({arguments}Path(sys.argv[1]), outlives=True).start()
print(server.pid)
"""


def started_by_another_process(folder: Path, module: str, kind: str, arguments: str = "") -> int:
    """Start a server in a process that is gone when this returns; return the server's process."""
    code = START.format(module=module, kind=kind, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture
def folder(server_folder: Path) -> Iterator[Path]:
    """A folder whose servers are stopped in the end."""
    yield server_folder / "kept"
    stop_servers(server_folder / "kept")


def test_postgres_outlives_its_starter_and_is_taken_up_or_started_anew(folder: Path) -> None:
    left = started_by_another_process(folder / "kept", "postgres", "PostgresServer", "18, ")
    server = PostgresServer(18, folder / "kept", outlives=True).start()
    assert server.pid == left
    assert server.is_running
    server.execute("CREATE TABLE here (id int)")
    servers_in(folder / "kept")[0].kill()
    again = PostgresServer(18, folder / "kept", outlives=True).start()
    assert again.pid != left
    again.execute("SELECT FROM here")
    assert stop_servers(folder) == 1
    assert not again.is_running
    assert not folder.exists()


def test_redis_outlives_its_starter_and_is_taken_up_or_started_anew(folder: Path) -> None:
    left = started_by_another_process(folder / "redis", "redis", "RedisServer")
    server = RedisServer(folder / "redis", outlives=True).start()
    assert [process.pid for process in servers_in(folder / "redis")] == [left]
    server.command("SET", "a", "b")
    servers_in(folder / "redis")[0].kill()
    again = RedisServer(folder / "redis", outlives=True).start()
    assert again.pid != left
    assert again.command("EXISTS", "a") == "0"


def test_a_kept_target_is_brought_back_to_what_a_new_one_is(target_server: Callable[[int], PostgresServer]) -> None:
    server = target_server(18)
    with PostgresServer(18, server.directory.parent / "to-be-emptied", durable=False) as used:
        used.execute(
            "CREATE ROLE owner",
            "CREATE TABLE of_owner (id int)",
            "ALTER TABLE of_owner OWNER TO owner",
            "CREATE DATABASE shop OWNER owner",
            "ALTER SYSTEM SET work_mem = '1MB'",
        )
        with used.connect("shop"):
            drop_everything(used)
        with used.connect() as dba:
            databases = dba.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
            roles = dba.execute("SELECT count(*) FROM pg_roles WHERE oid >= 16384").fetchone()
            tables = dba.execute("SELECT count(*) FROM pg_class WHERE oid >= 16384").fetchone()
            changed = dba.execute("SELECT count(*) FROM pg_file_settings WHERE name = 'work_mem'").fetchone()
        assert (databases, roles) == ([("postgres",), ("template0",), ("template1",)], (0,))
        assert (tables, changed) == ((0,), (0,))


def test_the_kept_copy_of_a_database_holds_for_the_same_migrations_only(
    target_server: Callable[[int], PostgresServer], tmp_path: Path
) -> None:
    server = target_server(18)
    migration = tmp_path / "0001_initial.py"
    migration.write_text("first")
    server.execute("CREATE DATABASE to_migrate")
    server.execute("CREATE TABLE migrated (id int)", dbname="to_migrate")
    keep_database(server, "to_migrate", [migration])
    server.execute("INSERT INTO migrated VALUES (1)", dbname="to_migrate")
    assert restore_database(server, "to_migrate", [migration])
    with server.connect("to_migrate") as conn:
        assert conn.execute("SELECT count(*) FROM migrated").fetchone() == (0,)
    migration.write_text("first, edited")
    assert not restore_database(server, "to_migrate", [migration])
    with pytest.raises(psycopg.OperationalError):
        server.connect("to_migrate")
    migration.write_text("first")
    assert not restore_database(server, "to_migrate", [migration]), "a copy of other migrations is not kept either"


@pytest.fixture
def at_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Return a function that takes a place as a process in this checkout does."""
    homes: set[Path] = set()
    monkeypatch.setenv(kept_servers.SWITCH, "1")
    monkeypatch.setattr(kept_servers, "_held", [])

    def take(name: str) -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        monkeypatch.setattr(kept_servers, "ROOT", root)
        monkeypatch.setattr(kept_servers, "CACHE", root / ".cache")
        monkeypatch.setattr(kept_servers, "_STATE_FILE", root / ".cache" / "kept-servers")
        place = kept_place.__wrapped__()
        assert place is not None
        homes.add(place.parent.parent)
        return place

    yield take
    for home in homes:
        stop_servers(home)


def end_run(number: int) -> None:
    """Let go of the place that was taken so many places ago, as a process does that ends."""
    kept_servers._held.pop(-number).close()


def test_a_place_is_for_one_run_at_a_time_and_found_by_the_next(at_checkout: Callable[[str], Path]) -> None:
    first, second = at_checkout("one"), at_checkout("one")
    assert first != second
    assert kept_servers.main() == 1, "a run uses it"
    end_run(2)
    assert at_checkout("one") == first


def test_two_checkouts_share_nothing(at_checkout: Callable[[str], Path]) -> None:
    one = at_checkout("one")
    end_run(1)
    assert at_checkout("another").parent.parent != one.parent.parent


def test_servers_of_other_code_and_of_a_checkout_that_is_gone_are_stopped(
    at_checkout: Callable[[str], Path], tmp_path: Path
) -> None:
    old = at_checkout("one")
    left = started_by_another_process(old / "redis", "redis", "RedisServer")
    end_run(1)
    (tmp_path / "one" / "package-lock.json").write_text("other PostgreSQL")
    new = at_checkout("one")
    assert (new == old, old.exists(), servers_in(old)) == (False, False, [])
    end_run(1)
    assert started_by_another_process(new / "redis", "redis", "RedisServer") != left
    (tmp_path / "one" / ".cache" / "kept-servers").unlink()
    at_checkout("another")
    assert (new.exists(), servers_in(new)) == (False, [])


def test_stopping_ends_all_of_the_checkout(at_checkout: Callable[[str], Path]) -> None:
    place = at_checkout("one")
    started_by_another_process(place / "redis", "redis", "RedisServer")
    end_run(1)
    assert kept_servers.main() == 0
    assert (place.exists(), servers_in(place)) == (False, [])
