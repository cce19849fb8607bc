"""Passwords, keys and certificates: where they go, and where they must not be seen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import AwsSecret, RungState, SslMode, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect import secrets_manager
from accessmgmt.provisioning.connect.admin import admin_connection, close_pools
from accessmgmt.provisioning.connect.scram import derive_keys, libpq_keys, make_verifier
from accessmgmt.provisioning.end.grants import end_grant
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from tests.orders import to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions


def test_a_password_is_never_seen_by_the_server(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    shop.server.execute("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
    try:
        order = new_order(permissions("SELECT", "app", "orders"))
        apply_grant(shop.target, order)
        end_grant(shop.target, to_end(order))
    finally:
        shop.server.execute("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()")
    log = shop.server.log_path.read_text(errors="replace")
    assert order.login.role_name in log
    assert order.password not in log


def test_a_verifier_lets_its_password_in_and_no_other(shop: Shop) -> None:
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    shop.log_in(order).close()
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(replace(order, password=order.password + "x"))
    end_grant(shop.target, to_end(order))
    assert make_verifier("a") != make_verifier("a")
    for unfit in ("", "ünïcode", "line\nbreak"):
        with pytest.raises(ValueError, match="printable ASCII"):
            make_verifier(unfit)


def test_errors_and_reprs_hold_no_secret(shop: Shop) -> None:
    order = new_order()
    assert order.password not in repr(order)
    assert ADMIN_PASSWORD not in repr(shop.target)
    wrong = replace(shop.target, password="n0t-the-password")
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(wrong, order)
    shown = f"{refusal.value}{refusal.value!r}{refusal.value.__cause__!r}"
    assert "n0t-the-password" not in shown


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("mode", [None, *SslMode])
def test_each_ssl_mode_against_a_server_with_tls(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: SslMode | None
) -> None:
    """What lies in the home directory plays no part: a wrong root.crt there would turn "require" into a refusal."""
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_text(CertificateAuthority("Wrong").pem)
    monkeypatch.setenv("HOME", str(tmp_path))
    keeps_authority = mode in {SslMode.VERIFY_CA, SslMode.VERIFY_FULL}
    target = replace(shop.target, ssl_mode=mode, tls_root_cert=shop.target.tls_root_cert if keeps_authority else "")
    before = open_files()
    with admin_connection(target) as conn:
        assert conn.pgconn.ssl_in_use == (mode is not SslMode.DISABLE)
        row = conn.execute("SELECT current_user::text, current_setting('search_path')").fetchone()
        assert row == ("jit_portal", "pg_catalog")
    close_pools()
    assert open_files() == before


def test_certificates_that_do_not_fit_are_refused(shop: Shop) -> None:
    other = CertificateAuthority("Another")
    for mode in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL, SslMode.REQUIRE):
        wrong = replace(shop.target, ssl_mode=mode, tls_root_cert=other.pem)
        with pytest.raises(TargetRefused, match="does not trust"), admin_connection(wrong):
            pass
    missing = replace(shop.target, ssl_mode=SslMode.VERIFY_CA, tls_root_cert="")
    with pytest.raises(TargetRefused, match="no root certificate"), admin_connection(missing):
        pass


def test_a_client_certificate(servers_directory: Path, certificate_authority: CertificateAuthority) -> None:
    server = PostgresServer(
        18,
        servers_directory / "mutual",
        tls=certificate_authority.server(),
        durable=False,
        hba=[
            "hostssl all postgres 127.0.0.1/32 cert",
            "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
        ],
    )
    client = certificate_authority.client("postgres")
    server.init()
    try:
        # The helper's own readiness check has no certificate: it accepts a refusal as an answer.
        server.start()
        target = Target(
            7, "mutual", "localhost", server.port, "postgres", "postgres", "unused", SslMode.VERIFY_FULL,
            certificate_authority.pem, client.certificate_pem, client.key_pem,
        )  # fmt: skip
        with admin_connection(target) as conn:
            conn.execute("CREATE TABLE public.t (id int)")
        order = new_order(permissions("SELECT", "public", "t"))
        apply_grant(target, order)
        end_grant(target, to_end(order))
        rungs = list(ladder.test_connection(target))
        assert RungState.FAILED not in {r.state for r in rungs}, rungs
        without = replace(target, tls_cert_file="", tls_key_file="")
        assert RungState.FAILED in {r.state for r in ladder.test_connection(without)}
    finally:
        close_pools()
        server.destroy()


def test_a_child_process_has_connections_of_its_own(shop: Shop) -> None:
    with admin_connection(shop.target) as conn:
        mine = conn.info.backend_pid
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with admin_connection(shop.target) as conn:
            os.write(writer, str(conn.info.backend_pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 20)) != mine
    with admin_connection(shop.target) as conn:
        assert conn.info.backend_pid == mine
        conn.execute("SELECT 1")


REGION = "eu-central-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], AwsSecret]]:
    """Return a function that writes a secret, over real HTTP, and names it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws)
    client = boto3.client("secretsmanager", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")

    def write(name: str, text: str) -> AwsSecret:
        try:
            client.create_secret(Name=name, SecretString=text)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, SecretString=text)
        return AwsSecret(REGION, name, "test", "test")

    yield write
    secrets_manager._kept.clear()


def test_a_credential_in_aws_secrets_manager(shop: Shop, store: Callable[[str, str], AwsSecret]) -> None:
    value = {
        "username": shop.target.username,
        "password": "an older one",
        "engine": "postgres",
        "host": shop.target.host,
        "port": shop.target.port,
        "dbname": shop.database,
    }
    secret = store("shop", json.dumps(value))
    target = replace(shop.target, host="", port=0, database_name="", username="", password="", aws_secret=secret)
    with pytest.raises(TargetRefused, match="does not accept the password"), admin_connection(target):
        pass
    store("shop", json.dumps({**value, "password": ADMIN_PASSWORD}))  # rotated: read again after the refusal
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(target, order)
    end_grant(target, to_end(order))
    assert {r.state for r in ladder.test_connection(target)} == {RungState.PASSED}
    assert secrets_manager.resolve_target(replace(target, username="own")).username == "own"


@pytest.mark.parametrize(
    ("text", "word"),
    [("not json", "not JSON"), ("[1]", "not a JSON object"), ('{"username": "x"}', "password, host, dbname")],
)
def test_secrets_that_cannot_be_used(store: Callable[[str, str], AwsSecret], text: str, word: str) -> None:
    secret = store(f"broken-{len(text)}", text)
    with pytest.raises(TargetRefused, match=word):
        secrets_manager.resolve_target(Target(9, "x", "", 5432, "", "", aws_secret=secret))


def test_secrets_that_cannot_be_read(
    store: Callable[[str, str], AwsSecret], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = Target(9, "x", "", 5432, "", "", aws_secret=AwsSecret(REGION, "nothing", "test", "test"))
    with pytest.raises(TargetRefused, match="ResourceNotFoundException"):
        secrets_manager.resolve_target(target)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    with pytest.raises(TargetUnavailable, match="cannot be reached"):
        secrets_manager.resolve_target(target)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(TargetRefused, match="no AWS credentials"):
        secrets_manager.resolve_target(replace(target, aws_secret=AwsSecret(REGION, "nothing")))


def test_the_keys_of_a_log_in_are_those_that_libpq_derives_from_the_password(new_shop: Callable[..., Shop]) -> None:
    """What the portal's own check proves by keys, a person proves by the password."""
    shop = new_shop(18)
    order = new_order()
    apply_grant(shop.target, order)
    with shop.as_dba() as conn:
        row = conn.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [order.login.role_name]).fetchone()
    assert row is not None
    _, salt, stored = row[0].split("$")
    salted = hashlib.pbkdf2_hmac("sha256", order.password.encode(), base64.b64decode(salt.split(":")[1]), 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert base64.b64encode(hashlib.sha256(client_key).digest()).decode() == stored.split(":")[0]
    keys = derive_keys(order.password)
    assert libpq_keys(keys).keys() in ({"scram_client_key", "scram_server_key"}, set())
    assert "client_key" not in repr(keys)
    shop.log_in(order).close()
