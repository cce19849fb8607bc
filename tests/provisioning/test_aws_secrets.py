"""Each way a secret cannot be had, against a Secrets Manager over HTTP: moto's server, and one that answers as told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import AwsSecret, RungState, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect import secrets_manager
from accessmgmt.provisioning.connect.admin import admin_connection, close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.aws import REGION, SecretsManager
from tests.orders import to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions

NAME = "postgres-credentials"
SECRET = AwsSecret(REGION, NAME, "test-key", "test-secret-key")


def target_without_fields() -> Target:
    return Target(9, "from-aws", "", 0, "", "", aws_secret=SECRET)


@pytest.fixture(scope="module")
def manager(servers_directory: Path) -> Iterator[SecretsManager]:
    server = SecretsManager(servers_directory / "secrets-manager", secrets={})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def aws(manager: SecretsManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretsManager]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", manager.url)
    secrets_manager._kept.clear()
    yield manager
    secrets_manager._kept.clear()


def value_of(shop: Shop, **changes: str) -> dict[str, str | int]:
    """Return a secret in the guide's format."""
    return {
        "username": shop.target.username,
        "password": ADMIN_PASSWORD,
        "engine": "postgres",
        "host": shop.target.host,
        "port": shop.target.port,
        "dbname": shop.database,
        **changes,
    }


def test_the_guide_s_secret_is_all_that_is_needed(shop: Shop, aws: SecretsManager) -> None:
    aws.put(NAME, value_of(shop))
    target = replace(shop.target, host="", port=0, database_name="", username="", password="", aws_secret=SECRET)
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(target, order)
    with shop.log_in(order) as user:
        user.execute("SELECT * FROM app.orders")
    end_grant(target, to_end(order, role_oid=receipt.role_oid))
    assert {rung.state for rung in ladder.test_connection(target)} == {RungState.PASSED}


def test_a_list_of_hosts_may_stand_in_the_secret(shop: Shop, aws: SecretsManager) -> None:
    """Every host of it is looked at when a grant ends, also one that does not answer."""
    aws.put(NAME, value_of(shop, host=f"127.0.0.9,{shop.target.host}"))
    target = replace(shop.target, host="", port=0, aws_secret=SECRET)
    order = new_order(permissions("SELECT", "app", "orders"))
    receipt = apply_grant(target, order)
    ended = end_grant(target, to_end(order, role_oid=receipt.role_oid))
    assert [unseen.host for unseen in ended.unseen_hosts] == ["127.0.0.9"]


def test_the_resource_s_own_fields_win(shop: Shop, aws: SecretsManager) -> None:
    aws.put(NAME, value_of(shop, username="other", password="other", host="other.invalid", dbname="other"))
    found = secrets_manager.resolve_target(replace(shop.target, aws_secret=SECRET))
    assert replace(found, aws_secret=None) == shop.target
    assert secrets_manager.resolve_target(replace(shop.target, aws_secret=SECRET, username="")).username == "other"


def test_a_rotated_password_is_fetched_once_when_the_server_refuses(shop: Shop, aws: SecretsManager) -> None:
    target = replace(shop.target, username="", password="", aws_secret=SECRET)
    aws.put(NAME, value_of(shop))
    with admin_connection(target):
        pass
    with shop.as_dba() as conn:
        verifier = conn.pgconn.encrypt_password(b"rotated-1", shop.target.username.encode(), b"scram-sha-256")
        before = conn.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [shop.target.username]).fetchone()
        assert before is not None
        set_verifier(conn, shop.target.username, verifier.decode())
        try:
            aws.put(NAME, value_of(shop, password="rotated-1"))
            close_pools()
            with admin_connection(target) as admin:  # the kept value is older: read anew after the refusal
                admin.execute("SELECT 1")
        finally:
            set_verifier(conn, shop.target.username, before[0])
    close_pools()
    with pytest.raises(TargetRefused, match="does not accept the password"), admin_connection(target):
        pass


def set_verifier(conn: psycopg.Connection, role: str, verifier: str) -> None:
    conn.execute(f"ALTER ROLE {role} PASSWORD '{verifier}'")  # type: ignore[arg-type]


class Told:
    """An HTTP server that answers every request with one status and one JSON body, and counts."""

    def __init__(self) -> None:
        self.status, self.body, self.count = 200, b"{}", 0
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.count += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(told.status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def refuse(self, code: str, status: int = 400) -> None:
        self.status, self.body = status, json.dumps({"__type": code, "message": "no"}).encode()

    def give(self, text: str) -> None:
        self.status, self.body = 200, json.dumps({"Name": NAME, "SecretString": text}).encode()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    made = Told()
    Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{made.server.server_port}")
    secrets_manager._kept.clear()
    yield made
    made.server.shutdown()
    made.server.server_close()
    secrets_manager._kept.clear()


@pytest.mark.parametrize(
    ("code", "todo"),
    [
        ("ResourceNotFoundException", "no secret of this name in this region"),
        ("AccessDeniedException", "secretsmanager:GetSecretValue"),
        ("DecryptionFailure", "kms:Decrypt"),
        ("UnrecognizedClientException", "not known to AWS"),
        ("InvalidSignatureException", "secret access key is wrong"),
        ("ExpiredTokenException", "session is over"),
    ],
)
def test_each_refusal_has_its_own_advice(told: Told, code: str, todo: str) -> None:
    told.refuse(code)
    with pytest.raises(TargetRefused) as refusal:
        secrets_manager.resolve_target(target_without_fields())
    assert code in refusal.value.why
    assert todo in refusal.value.todo
    assert SECRET.secret_access_key not in str(refusal.value)
    rungs = list(ladder.test_connection(target_without_fields()))
    assert (rungs[0].name, rungs[0].state) == ("Credential", RungState.FAILED)


@pytest.mark.parametrize(("code", "status"), [("InternalServiceError", 500), ("ThrottlingException", 400)])
def test_what_passes_is_tried_again(told: Told, code: str, status: int) -> None:
    told.refuse(code, status)
    with pytest.raises(TargetUnavailable, match="cannot be read"):
        secrets_manager.resolve_target(target_without_fields())


def secret_text(**changes: object) -> str:
    """Return a secret that is complete, with changes, as the text that is stored."""
    return json.dumps({"username": "a", "password": "b", "host": "c", "dbname": "d", **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "It is not JSON"),
        ("[]", "not a JSON object"),
        ('{"username": "a", "password": "b", "host": "c"}', "It holds no dbname"),
        ('{"host": "c", "dbname": "d"}', "It holds no username, password"),
        (secret_text(port="x"), "port is not a number"),
        (secret_text(port=0), "0 is not a port"),
        (secret_text(port="99999"), "99999 is not a port"),
        (secret_text(port=5432.5), "port is not a number"),
        (secret_text(port=True), "port is not a number"),
        (secret_text(port=[5432]), "port is not a number"),
        (secret_text(engine="mysql"), "engine is mysql, not postgres"),
        (secret_text(host="postgres://a:b@c/d"), "This is a URL"),
        (secret_text(host="c:5432"), "has a port in it"),
        (secret_text(host="c\u200bd"), "U.200B ZERO WIDTH SPACE at character 2"),
        (secret_text(host={"name": "c"}), "Its host is not a text"),
        (secret_text(username="a\0b"), "U.0000 a control character"),
        (secret_text(username="ä" * 32), "longer than 63 bytes"),
        (secret_text(dbname="d" * 64), "longer than 63 bytes"),
        (secret_text(dbname=["d"]), "Its dbname is not a text"),
        (secret_text(password="b\0c"), "Its password holds a character that PostgreSQL does not take"),
        (secret_text(password="\ud800"), "Its password holds a character that PostgreSQL does not take"),
        (secret_text(password=False), "Its password is not a text"),
        (secret_text(password="b" * 1_001), "Its password is longer"),
        ('{"username": "a", "username": "b", "password": "c", "host": "d", "dbname": "e"}', "It is not JSON"),
        ("[" * 5_000, "It is not JSON"),
    ],
)
def test_a_secret_that_is_not_as_the_guide_has_it(told: Told, text: str, words: str) -> None:
    told.give(text)
    with pytest.raises(TargetRefused, match=words) as refusal:
        secrets_manager.resolve_target(target_without_fields())
    assert '"dbname"' in refusal.value.todo
    assert "\0" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"port": "6543"}, {"port": 6543}),
        ({"port": 6543}, {"port": 6543}),
        ({"port": " 6543\n"}, {"port": 6543}),
        ({"port": None}, {"port": 5432}),
        ({"port": ""}, {"port": 5432}),
        ({"host": " DB1.Company.NET. ,[::1]"}, {"host": "db1.company.net,::1"}),
        ({"host": "müller.de"}, {"host": "xn--mller-kva.de"}),
        ({"username": " portal\n"}, {"username": "portal"}),
        ({"username": 4711}, {"username": "4711"}),
        ({"password": " kept exactly "}, {"password": " kept exactly "}),
        ({"engine": "aurora-postgresql"}, {}),
        ({"engine": None, "dbInstanceIdentifier": {"nested": [1]}, "more": True}, {}),
    ],
)
def test_values_of_a_secret_are_read_as_the_form_reads_them(told: Told, changes: dict, found: dict) -> None:  # type: ignore[type-arg]
    told.give(secret_text(**changes))
    resolved = secrets_manager.resolve_target(target_without_fields())
    assert {name: getattr(resolved, name) for name in found} == found
    own = replace(target_without_fields(), port=5433, host="own.internal")
    assert (secrets_manager.resolve_target(own).port, secrets_manager.resolve_target(own).host) == (
        5433,
        "own.internal",
    )


@pytest.mark.parametrize(
    ("region", "name", "words"),
    [
        ("Frankfurt", NAME, "not the code of an AWS region"),
        ("us east 1", NAME, "not the code of an AWS region"),
        ("us-east-1\u200b.evil.net", NAME, "not the code of an AWS region"),
        ("us-east-1", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf", "of the region eu-west-1"),
        ("us-east-1", "arn:aws:s3:::bucket", "not the ARN of a secret"),
        ("us-east-1", "my secret", "not the name of a secret"),
    ],
)
def test_a_place_that_cannot_be_is_refused_and_nobody_is_asked(told: Told, region: str, name: str, words: str) -> None:
    secret = AwsSecret(region, name, "test-key", "test-secret-key")
    with pytest.raises(TargetRefused, match=words) as refusal:
        secrets_manager.resolve_target(replace(target_without_fields(), aws_secret=secret))
    assert refusal.value.todo
    assert told.count == 0


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "us-isob-east-1", "eusc-de-east-1"])
def test_regions_of_every_partition_are_asked(told: Told, region: str) -> None:
    told.give(secret_text())
    arn = f"arn:aws:secretsmanager:{region}:123456789012:secret:team/db-AbCdEf"
    for name in (NAME, arn):
        secret = AwsSecret(region, name, "test-key", "test-secret-key")
        assert secrets_manager.resolve_target(replace(target_without_fields(), aws_secret=secret)).username == "a"


def test_a_secret_is_kept_for_minutes(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.give('{"username": "a", "password": "b", "host": "c", "dbname": "d"}')
    for _ in range(5):
        assert secrets_manager.resolve_target(target_without_fields()).port == 5432
    assert told.count == 1
    monkeypatch.setattr(secrets_manager, "KEPT_SECONDS", 0.0)
    secrets_manager.resolve_target(target_without_fields())
    assert told.count == 2


def test_a_secrets_manager_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    with pytest.raises(TargetUnavailable, match="cannot be reached"):
        secrets_manager.resolve_target(target_without_fields())


def test_without_keys_the_default_chain_gives_them(
    shop: Shop, aws: SecretsManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.put(NAME, value_of(shop))
    keyless = replace(target_without_fields(), aws_secret=AwsSecret(REGION, NAME))
    alone(monkeypatch, tmp_path)
    with pytest.raises(TargetRefused, match="no AWS credentials"):
        secrets_manager.resolve_target(keyless)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-environment")
    assert secrets_manager.resolve_target(keyless).username == shop.target.username


def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away whatever this machine knows of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
