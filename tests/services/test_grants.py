"""Activating, releasing, revoking, and looking at a password."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accessmgmt.domain.errors import AccessError, ConflictError, ForbiddenError, TooManyError
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import AuditEvent, Endpoint, Grant, User
from accessmgmt.services.grants.activate import activate_endpoint
from accessmgmt.services.grants.password import reveal_password
from accessmgmt.services.grants.stop import release_grant, revoke_grant
from accessmgmt.services.requests.decide import approve_request
from tests import factories


@pytest.fixture
def endpoint(alice: User) -> Endpoint:
    """An endpoint that Alice's group is wired to."""
    endpoint = factories.make_endpoint()
    factories.make_group(members=[alice], endpoints=[endpoint])
    return endpoint


def race(*acts: Callable[[], object]) -> list[object]:
    """Run acts at the same time on connections of their own; return their results or the errors they raised."""
    results: list[object] = [None] * len(acts)
    barrier = threading.Barrier(len(acts))

    def run(number: int, act: Callable[[], object]) -> None:
        barrier.wait(timeout=60)
        try:
            results[number] = act()
        except AccessError as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number, act)) for number, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return results


@pytest.mark.django_db
def test_intent_is_stored_before_any_effect(alice: User, endpoint: Endpoint) -> None:
    grant = Grant.objects.get(pk=activate_endpoint(actor=alice, endpoint=endpoint).pk)
    assert grant.state == GrantState.QUEUED
    assert grant.role_name.startswith("jit_alice_")
    assert len(grant.password) >= 22
    assert grant.permissions_digest == endpoint.authorization.permission_set.digest
    event = AuditEvent.objects.get(action="grant.activated")
    assert event.actor_email == alice.email
    assert grant.password not in str(event.details)


@pytest.mark.django_db
def test_who_may_not_activate(carol: User, alice: User, dave: User, endpoint: Endpoint) -> None:
    for outsider in (carol, dave):
        with pytest.raises(ForbiddenError):
            activate_endpoint(actor=outsider, endpoint=endpoint)
    endpoint.is_jit_enabled = True
    endpoint.save(update_fields=["is_jit_enabled"])
    with pytest.raises(ForbiddenError):
        activate_endpoint(actor=alice, endpoint=endpoint)
    assert not Grant.objects.exists()


@pytest.mark.django_db
def test_a_suspended_person_activates_nothing(alice: User, endpoint: Endpoint) -> None:
    alice.is_active = False
    with pytest.raises(ForbiddenError):
        activate_endpoint(actor=alice, endpoint=endpoint)


@pytest.mark.django_db(transaction=True)
def test_two_activations_at_once_give_one_grant(alice: User, endpoint: Endpoint) -> None:
    results = race(*[lambda: activate_endpoint(actor=alice, endpoint=endpoint)] * 4)
    assert sum(isinstance(result, Grant) for result in results) == 1
    assert sum(isinstance(result, ConflictError) for result in results) == 3
    assert Grant.objects.count() == 1
    assert AuditEvent.objects.filter(action="grant.activated").count() == 1


@pytest.mark.django_db(transaction=True)
def test_release_and_revoke_at_once_end_it_once(alice: User, dave: User, endpoint: Endpoint) -> None:
    grant = factories.make_grant("active", user=alice, endpoint=endpoint)
    results = race(
        lambda: release_grant(actor=alice, grant=grant),
        lambda: revoke_grant(actor=dave, grant=grant),
    )
    assert sum(isinstance(result, ConflictError) for result in results) == 1
    assert AuditEvent.objects.filter(action__in=["grant.released", "grant.revoked"]).count() == 1


@pytest.mark.django_db
def test_what_no_worker_took_up_is_cancelled(alice: User, endpoint: Endpoint) -> None:
    grant = activate_endpoint(actor=alice, endpoint=endpoint)
    ended = release_grant(actor=alice, grant=grant)
    assert (ended.state, ended.end_reason, ended.ended_by) == (GrantState.ENDING, EndReason.CANCELLED, alice)
    assert AuditEvent.objects.get(action="grant.released").actor_email == alice.email
    with pytest.raises(ConflictError):
        release_grant(actor=alice, grant=grant)


@pytest.mark.django_db
def test_only_ones_own_grant_is_released_and_only_admins_revoke(alice: User, carol: User, dave: User) -> None:
    grant = factories.make_grant("active", user=alice)
    for actor in (carol, dave):
        with pytest.raises(ForbiddenError):
            release_grant(actor=actor, grant=grant)
    for actor in (carol, alice):
        with pytest.raises(ForbiddenError):
            revoke_grant(actor=actor, grant=grant)
    ended = revoke_grant(actor=dave, grant=grant)
    assert (ended.end_reason, ended.ended_by) == (EndReason.REVOKED, dave)
    assert AuditEvent.objects.get(action="grant.revoked").actor_email == dave.email


@pytest.mark.django_db
def test_the_password_is_for_its_own_person_while_active_and_each_look_is_audited(alice: User, dave: User) -> None:
    grant = factories.make_grant("active", user=alice)
    assert reveal_password(actor=alice, grant=grant) == "the-login-password"
    assert reveal_password(actor=alice, grant=grant) == "the-login-password"
    assert AuditEvent.objects.filter(action="grant.password_shown").count() == 2
    assert "the-login-password" not in str(list(AuditEvent.objects.values()))
    with pytest.raises(ForbiddenError):
        reveal_password(actor=dave, grant=grant)
    Grant.objects.filter(pk=grant.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(ConflictError):
        reveal_password(actor=alice, grant=grant)


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["queued", "applying", "ending", "ended", "failed"])
def test_no_password_unless_active(alice: User, state: str) -> None:
    grant = factories.make_grant(state, user=alice)
    with pytest.raises(ConflictError):
        reveal_password(actor=alice, grant=grant)


@pytest.mark.django_db
def test_a_suspension_that_came_in_between_is_seen(alice: User, endpoint: Endpoint) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert alice.is_active, "the request still holds the old copy"
    with pytest.raises(ForbiddenError, match="suspended"):
        activate_endpoint(actor=alice, endpoint=endpoint)


@pytest.mark.django_db
def test_one_person_gets_one_endpoint_ten_times_in_ten_minutes(alice: User, endpoint: Endpoint) -> None:
    elsewhere = factories.make_endpoint()
    factories.make_group(members=[alice], endpoints=[elsewhere])
    for _ in range(10):
        factories.make_grant("ended", user=alice, endpoint=endpoint)
    with pytest.raises(TooManyError) as refusal:
        activate_endpoint(actor=alice, endpoint=endpoint)
    assert refusal.value.status_code == 429
    assert "10 times within 10 minutes" in refusal.value.what
    activate_endpoint(actor=alice, endpoint=elsewhere)
    oldest = Grant.objects.filter(endpoint=endpoint).order_by("queued_at")[0]
    Grant.objects.filter(pk=oldest.pk).update(queued_at=timezone.now() - timedelta(seconds=601))
    activate_endpoint(actor=alice, endpoint=endpoint)


@pytest.mark.django_db
def test_the_limit_holds_for_approvals_and_is_a_setting(alice: User, bob: User, settings: Any) -> None:
    endpoint = factories.make_endpoint(is_requestable=True, approvers=[bob.email])
    settings.PORTAL_GRANTS_A_PERSON_AND_ENDPOINT = 2
    for _ in range(2):
        factories.make_grant("ended", user=alice, endpoint=endpoint)
    request = factories.make_request(user=alice, endpoint=endpoint)
    with pytest.raises(TooManyError):
        approve_request(actor=bob, request=request)
    request.refresh_from_db()
    assert request.state == "pending"
    settings.PORTAL_GRANTS_A_PERSON_AND_ENDPOINT = 3
    assert approve_request(actor=bob, request=request).state == "approved"
