"""A real PgBouncer with the portal's own files: it takes a login while its grant is active, and only then."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.pgbouncer import PASSWORD_PLACEHOLDER, Pooling, pgbouncer_files
from accessmgmt.domain.targets import RungState
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import admin_connection
from accessmgmt.provisioning.end.grants import end_grant
from devstack.accounts import give, server_account
from devstack.install import system_path
from devstack.ports import free_port, is_listening
from devstack.process import ChildProcess
from tests.orders import to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")


@dataclass
class Pooler:
    shop: Shop
    port: int
    process: ChildProcess

    def log_in(self, role: str, password: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=self.shop.database,
            user=role,
            password=password,
            connect_timeout=10,
            sslmode="disable",
            autocommit=True,
        )


@pytest.fixture
def pooler(new_shop: Callable[..., Shop], servers_directory: Path) -> Iterator[Callable[..., Pooler]]:
    """Return a function that starts PgBouncer before a shop, its files written exactly as the page shows them."""
    started: list[ChildProcess] = []

    def start(extra: str = "", only: str = "") -> Pooler:
        program = shutil.which("pgbouncer", path=system_path())
        assert program, "PgBouncer is missing. As root: python3 -m devstack.install --with-pgbouncer"
        shop = new_shop(18)
        folder = servers_directory / f"pgbouncer-{secrets.token_hex(4)}"
        folder.mkdir()
        give(folder, server_account())
        port, password = free_port(), secrets.token_hex(8)
        pooling = Pooling(
            shop.target.name, "localhost", shop.server.port, shop.database, "verify-full", True, 5, 1
        )  # fmt: skip
        texts = {file.name: file.text for file in pgbouncer_files(pooling, folder=str(folder), listen_port=port)}
        texts["server-ca.pem"] = shop.target.tls_root_cert
        texts["userlist.txt"] = only or texts["userlist.txt"]
        texts["pgbouncer.ini"] += extra
        for name, text in texts.items():
            path = folder / name
            path.write_text(text.replace(PASSWORD_PLACEHOLDER, password))
            path.chmod(0o600)
            give(path, server_account())
        with shop.as_dba() as conn:
            conn.execute((folder / "auth_query.sql").read_text())  # type: ignore[arg-type]
            conn.execute((folder / "auth_query.sql").read_text())  # type: ignore[arg-type]
        process = ChildProcess(
            "pgbouncer",
            [program, str(folder / "pgbouncer.ini")],
            folder / "pgbouncer.log",
            cwd=Path("/"),
            account=server_account(),
        )
        process.start()
        started.append(process)
        process.wait_ready(lambda: is_listening(port))
        return Pooler(shop, port, process)

    yield start
    for process in started:
        process.stop()


def test_a_grant_is_used_through_pgbouncer_until_it_ends(pooler: Callable[..., Pooler]) -> None:
    pool = pooler()
    target = replace(pool.shop.target, max_connections=5, min_connections=1)
    order = new_order(ORDERS)
    receipt = apply_grant(target, order)

    user = pool.log_in(order.login.role_name, order.password)
    assert user.execute("SELECT item FROM app.orders LIMIT 1").fetchall() == [("tea",)]
    assert user.execute("SELECT current_user::text").fetchone() == (order.login.role_name,)
    with pytest.raises(psycopg.OperationalError):
        pool.log_in(order.login.role_name, "not-" + order.password)
    ended = end_grant(target, to_end(order, role_oid=receipt.role_oid))

    assert ended.sessions
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        pool.log_in(order.login.role_name, order.password)


def test_a_login_past_its_time_is_refused_by_pgbouncer_too(pooler: Callable[..., Pooler]) -> None:
    """PgBouncer compares passwords only: the auth_query is what knows the time."""
    pool = pooler()
    order = new_order(ORDERS)
    apply_grant(pool.shop.target, order)
    pool.log_in(order.login.role_name, order.password).close()
    with pool.shop.as_dba() as conn:
        conn.execute(f"ALTER ROLE {order.login.role_name} VALID UNTIL 'yesterday'")  # type: ignore[arg-type]
    with pytest.raises(psycopg.OperationalError):
        pool.log_in(order.login.role_name, order.password)
    end_grant(pool.shop.target, to_end(order))


def test_nobody_but_the_portal_s_log_ins_gets_in(pooler: Callable[..., Pooler]) -> None:
    pool = pooler()
    for role, password in (
        (pool.shop.target.username, ADMIN_PASSWORD),
        ("postgres", pool.shop.server.password),
    ):
        with pytest.raises(psycopg.OperationalError):
            pool.log_in(role, password)


def test_the_portal_refuses_to_work_through_pgbouncer(pooler: Callable[..., Pooler]) -> None:
    """With `options` ignored a pooler lets the portal in: the process id gives it away; without, the first words."""
    for extra in ("", "ignore_startup_parameters = extra_float_digits, options\n"):
        own = f'"jit_pgbouncer" "{PASSWORD_PLACEHOLDER}"\n"postgres" "SUPER"\n'
        pool = pooler_with_superuser(pooler, own, extra)
        target = replace(
            pool.shop.target,
            name=f"pooled{len(extra)}",
            host="127.0.0.1",
            port=pool.port,
            ssl_mode=None,
            tls_root_cert="",
            username="postgres",
            password=pool.shop.server.password,
        )
        with pytest.raises(TargetRefused, match="A connection pooler"), admin_connection(target):
            pass
        failed = [rung for rung in ladder.test_connection(target) if rung.state is RungState.FAILED]
        assert [rung.name for rung in failed] == ["Log-in"]
        assert "A connection pooler" in failed[0].detail
        assert "host and port of the server itself" in failed[0].fix


def pooler_with_superuser(pooler: Callable[..., Pooler], userlist: str, extra: str) -> Pooler:
    pool = pooler(extra, userlist)
    path = Path(pool.process.argv[1]).parent / "userlist.txt"
    path.write_text(path.read_text().replace("SUPER", pool.shop.server.password))
    pool.process.stop()
    pool.process.start()
    pool.process.wait_ready(lambda: is_listening(pool.port))
    return pool
