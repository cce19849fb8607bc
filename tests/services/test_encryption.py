"""Keys are changed while the portal runs: every secret gets the newest, and those that no key opens are named."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accessmgmt.models import Grant, Resource, fields
from accessmgmt.services import encryption
from tests import factories

pytestmark = pytest.mark.django_db
AWS = {"use_aws_secrets": True, "aws_region": "eu-west-1", "aws_secret_name": "pg"}


@pytest.fixture(autouse=True)
def _count_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "_counted", None)


@pytest.fixture
def old_key(settings: Any) -> str:
    """The key that everything is encrypted with at first."""
    settings.PORTAL_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    return str(settings.PORTAL_ENCRYPTION_KEYS[0])


@pytest.fixture
def rotate(settings: Any, old_key: str) -> Callable[[], str]:
    """Return a function that puts a new key in front and returns it."""

    def put_in_front() -> str:
        key = Fernet.generate_key().decode()
        settings.PORTAL_ENCRYPTION_KEYS = [key, *settings.PORTAL_ENCRYPTION_KEYS]
        return key

    return put_in_front


def store() -> None:
    """Store five secrets: one of each column, and an empty one in most."""
    factories.make_grant("active", password="of a grant")
    Resource.objects.update(password="of a resource")
    factories.make_resource(**AWS, password="", aws_access_key_id="AKIA", aws_secret_access_key="of aws")
    factories.make_resource(password="", tls_key_file="of tls")


def tokens() -> list[str]:
    return [token for column in fields.encrypted_fields() for batch in column.tokens() for _, token in batch]


def run() -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("reencrypt_secrets", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def set_token(resource: Resource, token: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accessmgmt_resource SET password = %s WHERE id = %s", [token, resource.pk])


def test_every_secret_gets_the_newest_key(
    settings: Any, rotate: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "BATCH", 1)
    store()
    new = rotate()
    out, err = run()
    assert "5 secrets have the newest key now, 0 had it already" in out
    assert err == ""
    before = tokens()
    assert len(before) == 5
    assert "0 secrets have the newest key now, 5 had it already" in run()[0]
    assert tokens() == before, "nothing is written twice"
    settings.PORTAL_ENCRYPTION_KEYS = [new]
    assert Grant.objects.get().password == "of a grant"
    values = Resource.objects.values_list("password", "tls_key_file", "aws_access_key_id", "aws_secret_access_key")
    assert {value for row in values for value in row} == {"", "of a resource", "of tls", "AKIA", "of aws"}


def test_it_is_taken_up_where_it_stopped(rotate: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "BATCH", 1)
    store()
    newest = MultiFernet([Fernet(rotate())])
    seen: list[str] = []

    def stop_at_the_third(by: MultiFernet, token: str) -> bool:
        seen.append(token)
        if len(set(seen)) == 3:
            raise KeyboardInterrupt
        return real(by, token)

    real = fields.opens
    monkeypatch.setattr(encryption, "opens", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert [real(newest, token) for token in tokens()].count(True) == 2
    monkeypatch.setattr(encryption, "opens", real)
    assert "3 secrets have the newest key now, 2 had it already" in run()[0]


def test_a_secret_that_no_key_opens_is_named_and_keeps_no_other_back(rotate: Callable[[], str]) -> None:
    store()
    lost = factories.make_resource()
    token = Fernet(Fernet.generate_key()).encrypt(b"lost for good").decode()
    set_token(lost, token)
    newest = MultiFernet([Fernet(rotate())])
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="1 secrets cannot be decrypted") as refusal:
        call_command("reencrypt_secrets", stdout=out, stderr=err)
    assert refusal.value.returncode == 1
    assert f"No key decrypts Resource.password of row {lost.pk}." in err.getvalue()
    assert "5 secrets have the newest key now" in out.getvalue()
    told = out.getvalue() + err.getvalue() + str(refusal.value)
    assert not any(secret in told for secret in (token, "of a grant", "of aws", "gAAAA"))
    assert [fields.opens(newest, found) for found in tokens()].count(False) == 1
    assert token in tokens(), "left as it was"


def test_what_changes_meanwhile_is_left_to_whoever_changes_it(
    rotate: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = factories.make_grant("active", password="soon erased")
    Resource.objects.update(password="")
    rotate()
    real = fields.opens

    def erase_then_open(by: MultiFernet, token: str) -> bool:
        Grant.objects.filter(pk=grant.pk).update(password="")
        return real(by, token)

    monkeypatch.setattr(encryption, "opens", erase_then_open)
    assert encryption.reencrypt_secrets().renewed == 0
    grant.refresh_from_db()
    assert grant.password == ""


def lose(resource: Resource) -> None:
    set_token(resource, Fernet(Fernet.generate_key()).encrypt(b"lost").decode())


def messages(**options: Any) -> list[str]:
    return [found.msg for found in checks.run_checks(**options) if found.id == "accessmgmt.W001"]


def test_the_check_warns_where_the_database_may_be_asked(old_key: str) -> None:
    store()
    assert messages(databases=["default"]) == []
    lose(factories.make_resource())
    lose(factories.make_resource())
    assert messages(databases=["default"]) == ["2 stored secrets of Resource.password cannot be decrypted."]
    with CaptureQueriesContext(connection) as queries:
        assert messages() == []
    assert len(queries) == 0


def test_the_check_waits_for_the_tables(old_key: str) -> None:
    """`migrate` checks before it makes them."""
    lose(factories.make_resource())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accessmgmt_resource RENAME TO elsewhere")
    assert messages(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE elsewhere RENAME TO accessmgmt_resource")
    assert len(messages(databases=["default"])) == 1


def test_readiness_counts_them_now_and_then(old_key: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    store()
    assert client.get("/health/ready").json()["unreadable_secrets"] == 0
    lost = factories.make_resource()
    lose(lost)
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/health/ready").json()["unreadable_secrets"] == 0
    assert len(queries) == 1, "the secrets are not read at each request"
    monkeypatch.setattr(encryption, "COUNTED_EVERY_SECONDS", 0.0)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"], answer.json()["unreadable_secrets"]) == (200, "ok", 1)
    lost.delete()
    assert client.get("/health/ready").json()["unreadable_secrets"] == 1
    monkeypatch.setattr(encryption, "RECOUNTED_AFTER_SECONDS", 0.0)
    assert client.get("/health/ready").json()["unreadable_secrets"] == 0
