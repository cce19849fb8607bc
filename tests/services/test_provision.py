"""What workers do: claim, apply and end on a real server, record; and the sweep that finds what was lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import AuditEvent, Endpoint, Grant, Resource
from accessmgmt.services.grants import apply, endings, leases, sweep
from accessmgmt.services.grants.stop import begin_end
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import log_in, make_target, portal_roles

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(target_server: Callable[[int], PostgresServer]) -> PostgresServer:
    """The target."""
    return target_server(18)


@pytest.fixture
def facts(server: PostgresServer) -> dict[str, Any]:
    """The connection fields of a database of its own."""
    return make_target(server)


@pytest.fixture
def endpoint(facts: dict[str, Any]) -> Endpoint:
    """SELECT on public of that database."""
    return factories.make_endpoint(resource=factories.make_resource(**facts))


@pytest.fixture
def roles(server: PostgresServer) -> Callable[[], set[str]]:
    """Return a function to the portal's login roles on the target, without those that other tests left."""
    before = portal_roles(server)
    return lambda: portal_roles(server) - before


def queued(endpoint: Endpoint, **fields: Any) -> Grant:
    return factories.make_grant("queued", endpoint=endpoint, **fields)


def begin_release(grant: Grant) -> None:
    begin_end(actor=grant.user, grant_id=grant.pk, reason=EndReason.RELEASED, action=Action.GRANT_RELEASED)


def test_a_grant_lives_and_ends_with_proof(
    roles: Callable[[], set[str]], facts: dict[str, Any], endpoint: Endpoint
) -> None:
    grant = queued(endpoint)
    began, slack = timezone.now(), timedelta(seconds=5)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
    assert apply.apply_waiting_grant(grant.pk) == "nothing to do"
    grant.refresh_from_db()
    assert grant.expires_at is not None
    assert began - slack < grant.expires_at - timedelta(seconds=grant.ttl_seconds) < timezone.now() + slack
    assert grant.lease_token is None
    with log_in(facts, grant.role_name, grant.password) as session:
        assert session.execute("SELECT count(*) FROM customers").fetchone() == (10,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT * FROM secret.payroll")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("UPDATE customers SET note = ''")
        begin_release(grant)
        assert endings.end_grant(grant.pk) == GrantState.ENDED
        assert endings.end_grant(grant.pk) == "nothing to do"
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    grant.refresh_from_db()
    assert grant.password == ""
    assert len(grant.end_receipt["sessions"]) == 1
    assert roles() == set()
    events = AuditEvent.objects.filter(object_type="grant").order_by("id")
    assert list(events.values_list("action", flat=True)) == ["grant.applied", "grant.released", "grant.ended"]


def test_a_lease_keeps_others_away_until_it_is_over(endpoint: Endpoint) -> None:
    grant = queued(endpoint)
    assert leases.claim(grant.pk, (GrantState.QUEUED,)) is not None
    assert apply.apply_waiting_grant(grant.pk) == "nothing to do"
    assert sweep.sweep() == 0
    Grant.objects.filter(pk=grant.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweep.sweep() == 1
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE


def test_released_while_it_is_applied_it_ends_after_the_worker_let_go(
    roles: Callable[[], set[str]], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = queued(endpoint)
    real_apply = apply.apply_on_target

    def apply_and_be_released_meanwhile(*args: Any, **kwargs: Any) -> Any:
        receipt = real_apply(*args, **kwargs)
        begin_release(grant)
        assert endings.end_grant(grant.pk) == "nothing to do", "the ending must wait for the lease"
        return receipt

    monkeypatch.setattr(apply, "apply_on_target", apply_and_be_released_meanwhile)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ENDING
    assert roles() == {grant.role_name}
    assert endings.end_grant(grant.pk) == GrantState.ENDED
    assert roles() == set()


def test_a_worker_that_lost_its_lease_records_nothing(endpoint: Endpoint) -> None:
    grant = queued(endpoint)
    claimed = leases.claim(grant.pk, (GrantState.QUEUED,))
    assert claimed is not None
    Grant.objects.filter(pk=grant.pk).update(lease_token=uuid.uuid4())
    receipt = apply.apply_on_target(endpoint.resource.as_target(), claimed.as_order())
    assert apply._record_active(claimed, receipt) == "lease lost"
    grant.refresh_from_db()
    assert grant.state == GrantState.APPLYING
    with pytest.raises(Exception, match="Another worker"):
        leases.renew_lease(grant.pk, claimed.lease_token)


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "too late to try again"])
@pytest.mark.parametrize("error", [TargetRefused("no"), TargetUnavailable("not now")], ids=["refused", "failed"])
def test_a_worker_that_lost_its_lease_records_neither_refusal_nor_failure(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, error: TargetError, is_late: bool
) -> None:
    """It would free the lease of who took over, and clean up after a grant that is just being made."""
    queued_at = timezone.now() - timedelta(seconds=settings.PORTAL_APPLY_GIVE_UP_SECONDS + 1 if is_late else 0)
    grant = queued(endpoint, queued_at=queued_at)
    other = uuid.uuid4()

    def lose_the_lease(*_: Any, **__: Any) -> None:
        Grant.objects.filter(pk=grant.pk).update(lease_token=other)
        raise error

    monkeypatch.setattr(apply, "apply_on_target", lose_the_lease)
    monkeypatch.setattr(apply, "end_grant", lambda *_, **__: pytest.fail("it cleans up after another"))
    assert apply.apply_waiting_grant(grant.pk) == "lease lost"
    grant.refresh_from_db()
    assert (grant.state, grant.lease_token) == (GrantState.APPLYING, other)
    assert (grant.last_error, grant.refused_at, grant.end_requested_at) == (None, None, None)


def test_a_worker_that_lost_its_lease_while_it_cleaned_up_does_not_close_the_grant(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = queued(endpoint)
    other = uuid.uuid4()
    real_end = apply.end_grant

    def refuse(*_: Any, **__: Any) -> None:
        raise TargetRefused("no")

    def clean_and_lose_the_lease(*args: Any, **kwargs: Any) -> Any:
        Grant.objects.filter(pk=grant.pk).update(lease_token=other)
        return real_end(*args, **kwargs)

    monkeypatch.setattr(apply, "apply_on_target", refuse)
    monkeypatch.setattr(apply, "end_grant", clean_and_lose_the_lease)
    assert apply.apply_waiting_grant(grant.pk) == "lease lost"
    grant.refresh_from_db()
    assert (grant.state, grant.lease_token, grant.end_receipt) == (GrantState.APPLYING, other, None)


def test_what_matches_nothing_fails_and_is_cleaned(roles: Callable[[], set[str]], facts: dict[str, Any]) -> None:
    nothing = factories.make_authorization(permissions={"grants": ["SELECT"], "schemas": ["nowhere"], "tables": ["*"]})
    endpoint = factories.make_endpoint(resource=factories.make_resource(**facts), authorization=nothing)
    grant = queued(endpoint)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.FAILED
    grant.refresh_from_db()
    assert grant.password == ""
    assert grant.last_error["what"]
    assert grant.end_receipt["role_name"] == grant.role_name
    assert grant.ended_at is not None
    assert roles() == set()
    assert AuditEvent.objects.filter(action="grant.failed").exists()


def test_an_unreachable_target_is_tried_again_and_given_up_in_the_end(facts: dict[str, Any]) -> None:
    facts["port"] = 1
    grant = queued(factories.make_endpoint(resource=factories.make_resource(**facts)))
    assert apply.apply_waiting_grant(grant.pk) == GrantState.APPLYING
    grant.refresh_from_db()
    assert grant.last_error["what"]
    assert grant.next_attempt_at > timezone.now()
    late = timezone.now() - timedelta(seconds=settings.PORTAL_APPLY_GIVE_UP_SECONDS + 1)
    Grant.objects.filter(pk=grant.pk).update(queued_at=late)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ENDING
    for _ in range(3):
        assert endings.end_grant(grant.pk) == GrantState.ENDING, "an ending is never given up"
    grant.refresh_from_db()
    assert grant.attempts == 3, "the tries of the apply do not count"
    Grant.objects.filter(pk=grant.pk).update(end_requested_at=late)
    assert Grant.objects.overdue().get() == grant


def test_the_sweep_ends_what_is_due_and_wakes_what_waits(endpoint: Endpoint) -> None:
    past = timezone.now() - timedelta(seconds=1)
    due = factories.make_grant("active", endpoint=endpoint, expires_at=past)
    waiting = queued(endpoint, next_attempt_at=past)
    factories.make_grant("active", endpoint=endpoint)
    factories.make_grant("ended", endpoint=endpoint)
    assert sweep.sweep() == 2
    assert sweep.sweep() == 0, "what was woken is left alone for a while"
    due.refresh_from_db()
    assert (due.state, due.end_reason) == (GrantState.ENDING, EndReason.EXPIRED)
    waiting.refresh_from_db()
    assert waiting.state == GrantState.QUEUED


def test_a_role_that_somebody_dropped_still_ends(server: PostgresServer, endpoint: Endpoint) -> None:
    grant = queued(endpoint)
    apply.apply_waiting_grant(grant.pk)
    with server.connect() as conn:
        conn.execute(f'DROP ROLE "{grant.role_name}"')
    begin_release(grant)
    assert endings.end_grant(grant.pk) == GrantState.ENDED
    grant.refresh_from_db()
    assert grant.end_receipt["role_was_absent"] is True


def test_a_fault_of_our_own_is_shown_and_tried_again(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OverflowError("the-secret-in-the-message")

    monkeypatch.setattr(apply, "apply_on_target", fail)
    grant = queued(endpoint)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.APPLYING
    grant.refresh_from_db()
    assert "OverflowError" in grant.last_error["why"]
    assert "the-secret" not in str(grant.last_error)
    assert grant.lease_token is None


def test_a_target_whose_clock_is_ahead_does_not_lengthen_access(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_apply = apply.apply_on_target

    def apply_an_hour_ahead(*args: Any, **kwargs: Any) -> Any:
        receipt = real_apply(*args, **kwargs)
        return replace(receipt, valid_until=receipt.valid_until + timedelta(hours=1))

    monkeypatch.setattr(apply, "apply_on_target", apply_an_hour_ahead)
    grant = queued(endpoint)
    apply.apply_waiting_grant(grant.pk)
    grant.refresh_from_db()
    assert grant.expires_at is not None
    assert (grant.expires_at - timezone.now()).total_seconds() <= grant.ttl_seconds


def test_a_role_that_is_missing_on_another_server_proves_nothing(
    roles: Callable[[], set[str]], endpoint: Endpoint, target_server: Callable[[int], PostgresServer]
) -> None:
    grant = queued(endpoint)
    apply.apply_waiting_grant(grant.pk)
    begin_release(grant)
    here = Resource.objects.get(pk=endpoint.resource.pk)
    elsewhere = make_target(target_server(17))
    Resource.objects.filter(pk=here.pk).update(port=elsewhere["port"], database_name=elsewhere["database_name"])
    assert endings.end_grant(grant.pk) == GrantState.ENDING
    grant.refresh_from_db()
    assert "another PostgreSQL server" in grant.last_error["what"]
    assert roles() == {grant.role_name}
    Resource.objects.filter(pk=here.pk).update(port=here.port, database_name=here.database_name)
    assert endings.end_grant(grant.pk) == GrantState.ENDED
    assert roles() == set()
