"""What the database itself refuses."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accessmgmt.models import AuditEvent, Resource, User
from accessmgmt.services import audit
from accessmgmt.services.audit_chain import seal_events
from tests import factories

pytestmark = pytest.mark.django_db


def test_secrets_are_encrypted_at_rest() -> None:
    resource = factories.make_resource(password="hunter2-hunter2", aws_secret_access_key="aws-key")
    with connection.cursor() as cursor:
        cursor.execute("SELECT password, aws_secret_access_key FROM accessmgmt_resource WHERE id = %s", [resource.pk])
        stored = cursor.fetchone()
    assert all("hunter2" not in value and "aws-key" not in value and value for value in stored)
    assert Resource.objects.get(pk=resource.pk).password == "hunter2-hunter2"


def test_old_keys_still_decrypt_after_rotation(settings: object) -> None:
    from cryptography.fernet import Fernet  # noqa: PLC0415

    resource = factories.make_resource(password="before")
    settings.PORTAL_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.PORTAL_ENCRYPTION_KEYS]  # type: ignore[attr-defined]
    assert Resource.objects.get(pk=resource.pk).password == "before"


@pytest.mark.parametrize(
    "fields",
    [
        {"port": 99_999},
        {"ssl_mode": "prefer"},
        {"max_connections": 1, "min_connections": 2},
        {"use_aws_secrets": True},
        {"host": ""},
        {"type": "mysql"},
    ],
)
def test_a_resource_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_resource(**fields)


def test_a_grant_is_held_once_per_person_and_endpoint() -> None:
    grant = factories.make_grant("active")
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_grant("queued", user=grant.user, endpoint=grant.endpoint)
    factories.make_grant("ended", user=grant.user, endpoint=grant.endpoint)


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("active", {"expires_at": None}),
        ("ended", {"end_receipt": None}),
        ("ended", {"password": "still here"}),
        ("ending", {"end_reason": ""}),
        ("nonsense", {}),
        ("queued", {"ttl_seconds": 0}),
    ],
)
def test_a_grant_that_breaks_its_state_machine_is_refused(state: str, fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_grant(state, **fields)


def test_an_email_address_is_stored_in_lower_case() -> None:
    assert factories.make_user("Frank@Company.COM").email == "frank@company.com"
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="Grace@company.com")


def test_nobody_decides_on_their_own_request(alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_request("approved", user=alice, decided_by=alice)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accessmgmt_auditevent SET action = 'x'",
        "DELETE FROM accessmgmt_auditevent",
        "DELETE FROM accessmgmt_auditseal",
        "UPDATE accessmgmt_auditseal SET hash = 'x'",
    ],
)
def test_audit_rows_cannot_be_changed(alice: User, statement: str) -> None:
    audit.record(alice, "test.made", alice)
    seal_events()
    with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEvent.objects.count() == 1


def test_audit_rows_cannot_be_truncated(alice: User) -> None:
    audit.record(alice, "test.made", alice)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accessmgmt_auditseal ENABLE TRIGGER accessmgmt_auditseal_no_truncate")
        with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
            cursor.execute("TRUNCATE accessmgmt_auditseal")
