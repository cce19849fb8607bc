"""A password reaches the server as a SCRAM verifier only, and nothing on the server remembers more than that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.targets import SslMode
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools, connect_login
from accessmgmt.provisioning.connect.scram import derive_keys
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from devstack.certs import CertificateAuthority
from devstack.postgres import VERSIONS, PostgresServer
from tests.orders import to_end
from tests.provisioning.conftest import Shop, make_shop, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")
VERIFIER = r"SCRAM-SHA-256\$4096:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}"


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_on_the_server_has_seen_the_password(new_shop: Callable[..., Shop], version: int) -> None:
    """Not the log, not pg_stat_statements, not the idle session's last query; not when it fails."""
    shop = new_shop(version)
    shop.server.execute("ALTER SYSTEM SET log_statement = 'all'", "ALTER SYSTEM SET log_min_error_statement = 'debug5'")
    shop.server.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "SELECT pg_reload_conf()")
    order, failing = new_order(ORDERS), new_order(ORDERS)
    try:
        seen: list[str] = []
        conversation.before_statement = lambda _: seen.extend(queries(shop))
        apply_grant(shop.target, order)
        # When the message that holds the verifier fails, the server logs it whatever log_statement says.
        conversation.before_statement = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("accessmgmt.provisioning.session.deadline.Budget.check", lambda self: 5.0)
            with pytest.raises(TargetUnavailable, match="too late"):
                apply_grant(shop.target, failing, budget_seconds=0.0)
        with shop.as_dba() as dba:
            stored = dba.execute(
                "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [order.login.role_name]
            ).fetchone()
        with shop.server.connect() as dba:
            statements = [text for (text,) in dba.execute("SELECT query FROM pg_stat_statements").fetchall()]
        end_grant(shop.target, to_end(order))
    finally:
        conversation.before_statement = None
        shop.server.execute("ALTER SYSTEM RESET log_statement", "ALTER SYSTEM RESET log_min_error_statement")
        shop.server.execute("SELECT pg_reload_conf()")
    log = shop.server.log_path.read_text(errors="replace")
    assert stored is not None
    assert re.fullmatch(VERIFIER, stored[0])
    for told in (log, "\n".join(statements), "\n".join(seen)):
        assert order.login.role_name in told
        assert order.password not in told
        assert failing.password not in told
    assert failing.login.role_name in log


def queries(shop: Shop) -> list[str]:
    """Return what every session of the server did last, as a superuser sees it."""
    with shop.as_dba() as dba:
        rows = dba.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
    return [text or "" for (text,) in rows]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_makes_md5_of_passwords_keeps_the_verifier(new_shop: Callable[..., Shop], version: int) -> None:
    """The server's password_encryption plays no part, and the verifier is stored as it came."""
    shop = new_shop(version)
    with shop.as_dba() as dba:
        for role in ("jit_portal", shop.target.username):
            dba.execute(sql.SQL("ALTER ROLE {} SET password_encryption = 'md5'").format(sql.Identifier(role)))
        dba.execute(sql.SQL("ALTER DATABASE {} SET password_encryption = 'md5'").format(sql.Identifier(shop.database)))
    close_pools()
    order = new_order(ORDERS)
    apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        row = dba.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [order.login.role_name]).fetchone()
    assert row is not None
    assert re.fullmatch(VERIFIER, row[0])
    shop.log_in(order).close()
    end_grant(shop.target, to_end(order))


def test_clients_of_all_kinds_get_in(shop: Shop) -> None:
    """With and without TLS, bound to the channel or not: SCRAM serves them all, and no other method is taken."""
    order = new_order(ORDERS)
    apply_grant(shop.target, order)
    for options in (
        {"sslmode": "require", "channel_binding": "require"},
        {"sslmode": "require", "channel_binding": "disable"},
        {"sslmode": "disable", "channel_binding": "prefer"},
        {"sslmode": "require", "require_auth": "scram-sha-256"},
    ):
        with shop.log_in(order, **options) as user:
            assert user.execute("SELECT count(*) > 0 FROM app.orders").fetchone() == (True,)
    for method in ("md5", "password", "none"):
        with pytest.raises(psycopg.OperationalError):
            shop.log_in(order, require_auth=method)
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("version", [18, 14])
def test_a_server_whose_pg_hba_says_md5(
    own_server: Callable[..., PostgresServer], certificate_authority: CertificateAuthority, version: int
) -> None:
    """With a SCRAM verifier the method md5 speaks SCRAM; also for the portal, also without TLS."""
    server = own_server(version)
    shop = make_shop(server, certificate_authority, is_superuser=False)
    server.hba = ["host all all 127.0.0.1/32 md5"]
    server.reload()
    order = new_order(ORDERS)
    for mode in (SslMode.VERIFY_FULL, SslMode.DISABLE):
        target = replace(shop.target, ssl_mode=mode, name=f"md5-{mode}")
        apply_grant(target, order)
    shop.log_in(order).close()
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("hosts", ["localhost", "localhost,127.0.0.1"])
def test_keys_that_another_worker_overtook_are_followed_by_the_password(shop: Shop, hosts: str) -> None:
    """Each worker on a grant gives the role a verifier of its own; the password fits all of them."""
    order = new_order(ORDERS)
    receipt = apply_grant(shop.target, order)
    target = replace(shop.target, host=hosts)

    def log_in(password: str) -> psycopg.Connection:
        keys = derive_keys(password)
        role = order.login.role_name
        return connect_login(target, role=role, password=password, server_version=18, timeout_seconds=30, keys=keys)

    with log_in(order.password) as conn:
        assert conn.info.user == order.login.role_name
    with pytest.raises(TargetError) as refusal:
        log_in("another")
    assert refusal.value.sqlstate == "28P01"
    end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
