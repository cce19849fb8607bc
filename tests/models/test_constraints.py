"""What the database itself refuses."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.ttl import LONGEST_SECONDS
from accessmgmt.models import AccessRequest, AuditEvent, Decision, Resource, User
from accessmgmt.services.audit import trail
from accessmgmt.services.audit.seal import seal_events
from tests import factories

pytestmark = pytest.mark.django_db
NOW = timezone.now()


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


def test_a_resource_is_not_its_own_primary() -> None:
    resource = factories.make_resource()
    with refused_by("resource_not_its_own_primary"), transaction.atomic():
        Resource.objects.filter(pk=resource.pk).update(primary=resource)
    Resource.objects.filter(pk=resource.pk).update(primary=factories.make_resource())


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


def refused_by(name: str) -> AbstractContextManager[object]:
    """Expect the database to refuse by the constraint of this name."""
    return pytest.raises(IntegrityError, check=lambda error: error.__cause__.diag.constraint_name == name)


def test_nobody_decides_on_their_own_request(alice: User) -> None:
    with refused_by("decision_not_by_the_asker"), transaction.atomic():
        factories.make_decision(factories.make_request(user=alice), decider=alice)


def test_nobody_decides_on_their_own_request_in_somebody_elses_name(alice: User, bob: User) -> None:
    request = factories.make_request(user=alice)
    with refused_by("decision_of_its_request"), transaction.atomic():
        factories.make_decision(request, asker=bob, decider=alice)
    factories.make_decision(request, decider=bob)
    for change in ({"user": bob}, {"user": factories.make_user()}):
        with refused_by("decision_of_its_request"), transaction.atomic():
            AccessRequest.objects.filter(pk=request.pk).update(**change)


def test_one_vote_a_person_and_request(bob: User, dave: User) -> None:
    request, other = factories.make_request(), factories.make_request()
    for wanted, decider in ((request, bob), (request, dave), (other, bob)):
        factories.make_decision(wanted, decider=decider)
    with refused_by("decision_once_a_person"), transaction.atomic():
        factories.make_decision(request, "denied", decider=bob)


@pytest.mark.parametrize(
    ("verdict", "seconds", "constraint"),
    [
        ("approved", None, "decision_seconds_for_approvals"),
        ("denied", 3600, "decision_seconds_for_approvals"),
        ("approved", 0, "decision_seconds_in_range"),
        ("approved", LONGEST_SECONDS + 1, "decision_seconds_in_range"),
        ("pending", None, "decision_verdict_known"),
    ],
)
def test_a_vote_that_makes_no_sense_is_refused(verdict: str, seconds: int | None, constraint: str) -> None:
    request = factories.make_request()
    with refused_by(constraint), transaction.atomic():
        factories.make_decision(request, verdict, approved_seconds=seconds)


def test_the_shortest_and_the_longest_vote_are_stored() -> None:
    for seconds in (1, LONGEST_SECONDS):
        factories.make_decision(factories.make_request(), approved_seconds=seconds)


@pytest.mark.parametrize("state", ["approved", "denied"])
def test_no_request_is_settled_without_a_vote_that_says_so(state: str) -> None:
    request = factories.make_request()
    factories.make_decision(request, "denied" if state == "approved" else "approved")
    factories.make_decision(factories.make_request(), state)
    seconds = 3600 if state == "approved" else None
    settled = {"state": state, "settled_at": timezone.now(), "granted_seconds": seconds}
    with refused_by("access_request_settled_by_a_vote"), transaction.atomic():
        AccessRequest.objects.filter(pk=request.pk).update(**settled)
    values = AccessRequest.objects.filter(pk=request.pk).values().get()
    values.pop("id")
    with refused_by("access_request_settled_by_a_vote"), transaction.atomic():
        AccessRequest.objects.create(**{**values, **settled, "user_id": factories.make_user().pk})
    factories.make_decision(request, state)
    AccessRequest.objects.filter(pk=request.pk).update(**settled)


@pytest.mark.parametrize("state", ["approved", "denied", "cancelled", "lapsed"])
def test_what_was_voted_stays_when_the_request_is_over(state: str, bob: User) -> None:
    over = factories.make_request(state, decided_by=bob)
    pending = factories.make_request()
    votes = Decision.objects.filter(request=over)
    with refused_by("decision_while_pending"), transaction.atomic():
        factories.make_decision(over)
    vote = factories.make_decision(pending)
    with refused_by("decision_while_pending"), transaction.atomic():
        Decision.objects.filter(pk=vote.pk).update(request=over, asker=over.user)
    if votes.exists():
        for change in (votes.delete, lambda: votes.update(comment="I never said that")):
            with refused_by("decision_while_pending"), transaction.atomic():
                change()
        with refused_by("decision_while_pending"), transaction.atomic():
            votes.update(request=pending, asker=pending.user)
    Decision.objects.filter(pk=vote.pk).update(comment="Only until noon")
    vote.delete()


@pytest.mark.parametrize(
    ("state", "fields", "constraint"),
    [
        ("pending", {"settled_at": NOW}, "access_request_settled_when_over"),
        ("cancelled", {"settled_at": None}, "access_request_settled_when_over"),
        ("approved", {"granted_seconds": None}, "access_request_seconds_when_approved"),
        ("denied", {"granted_seconds": 60}, "access_request_seconds_when_approved"),
        ("approved", {"granted_seconds": 0}, "access_request_granted_in_range"),
        ("approved", {"granted_seconds": LONGEST_SECONDS + 1}, "access_request_granted_in_range"),
    ],
)
def test_a_request_that_breaks_its_state_machine_is_refused(
    state: str, fields: dict[str, object], constraint: str
) -> None:
    request = factories.make_request(state)
    with refused_by(constraint), transaction.atomic():
        AccessRequest.objects.filter(pk=request.pk).update(**fields)


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
    trail.record(alice, Action.USER_PROFILE_CHANGED, alice)
    seal_events()
    with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEvent.objects.count() == 1


def test_audit_rows_cannot_be_truncated(alice: User) -> None:
    trail.record(alice, Action.USER_PROFILE_CHANGED, alice)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accessmgmt_auditseal ENABLE TRIGGER accessmgmt_auditseal_no_truncate")
        with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
            cursor.execute("TRUNCATE accessmgmt_auditseal")
