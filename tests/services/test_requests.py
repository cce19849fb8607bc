"""Asking for access, and deciding on it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accessmgmt.domain.errors import ConflictError, ForbiddenError, InvalidError
from accessmgmt.domain.states import RequestState, Verdict
from accessmgmt.models import AccessRequest, AuditEvent, Decision, Endpoint, Grant, User
from accessmgmt.selectors.access.since_asked import since_asked
from accessmgmt.services.requests.ask import cancel_request, lapse_requests, request_access
from accessmgmt.services.requests.decide import approve_request, deny_request
from tests import factories
from tests.services.test_grants import race

REASON = "Looking into ticket 4711"


@pytest.fixture
def endpoint(bob: User) -> Endpoint:
    """An endpoint that anybody may request and Bob decides on."""
    return factories.make_endpoint(is_jit_enabled=True, is_requestable=True, approvers=[bob.email])


def ask(user: User, endpoint: Endpoint) -> AccessRequest:
    return request_access(actor=user, endpoint=endpoint, reason=REASON, duration="2h")


@pytest.mark.django_db
def test_what_was_asked_for_is_what_is_granted_whatever_is_edited_later(
    carol: User, bob: User, endpoint: Endpoint
) -> None:
    request = ask(carol, endpoint)
    endpoint.authorization.permissions = {"grants": ["DELETE"], "schemas": ["public"], "tables": ["*"]}
    endpoint.authorization.save(update_fields=["permissions"])
    approve_request(actor=bob, request=request, duration="30m")
    grant = Grant.objects.get(request=request)
    assert grant.user == carol
    assert grant.ttl_seconds == 1800
    assert grant.permissions["grants"] == ["SELECT"]
    assert grant.permissions_digest == request.permissions_digest


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reason", "duration", "field"),
    [("short", "1h", "reason"), (REASON, "8x", "duration"), (REASON, "9h", "duration"), (REASON, "1s", "duration")],
)
def test_bad_input_names_its_field(carol: User, endpoint: Endpoint, reason: str, duration: str, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        request_access(actor=carol, endpoint=endpoint, reason=reason, duration=duration)
    assert list(caught.value.fields) == [field]
    assert not AccessRequest.objects.exists()


@pytest.mark.django_db
def test_a_reason_of_exactly_the_shortest_length_is_long_enough(carol: User, endpoint: Endpoint) -> None:
    with pytest.raises(InvalidError, match="at least 10 characters"):
        request_access(actor=carol, endpoint=endpoint, reason="ticket 47", duration="1h")
    request = request_access(actor=carol, endpoint=endpoint, reason="ticket 471", duration="1h")
    assert request.reason == "ticket 471"


@pytest.mark.django_db
def test_what_is_not_requestable_is_not_requested(carol: User, alice: User) -> None:
    endpoint = factories.make_endpoint()
    with pytest.raises(ForbiddenError):
        ask(carol, endpoint)
    needs_approval = factories.make_endpoint(is_jit_enabled=True)
    factories.make_group(members=[alice], endpoints=[needs_approval])
    ask(alice, needs_approval)
    with pytest.raises(ForbiddenError):
        ask(carol, needs_approval)


@pytest.mark.django_db
def test_one_pending_request_per_person_and_endpoint(carol: User, endpoint: Endpoint) -> None:
    ask(carol, endpoint)
    with pytest.raises(ConflictError):
        ask(carol, endpoint)


@pytest.mark.django_db
def test_who_may_decide(carol: User, alice: User, bob: User, dave: User, erin: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    for actor in (carol, alice, erin):
        with pytest.raises(ForbiddenError):
            approve_request(actor=actor, request=request)
    own = ask(bob, endpoint)
    with pytest.raises(ForbiddenError):
        approve_request(actor=bob, request=own)
    assert approve_request(actor=dave, request=own).decisions.get().decider == dave


@pytest.mark.django_db
def test_an_approval_is_one_vote_and_settles_the_request(carol: User, bob: User, endpoint: Endpoint) -> None:
    row = approve_request(actor=bob, request=ask(carol, endpoint), duration="30m", comment=" Only for today ")
    vote = row.decisions.get()
    assert (vote.decider, vote.asker, vote.verdict) == (bob, carol, Verdict.APPROVED)
    assert (vote.comment, vote.approved_seconds) == ("Only for today", 1800)
    stored = AccessRequest.objects.get(pk=row.pk)
    assert (stored.state, stored.granted_seconds) == (RequestState.APPROVED, 1800)
    assert stored.settled_at == vote.decided_at >= stored.created_at
    details = AuditEvent.objects.get(action="request.approved").details
    assert (details["approved_seconds"], details["comment"]) == (1800, "Only for today")


@pytest.mark.django_db
def test_a_denial_is_one_vote_and_settles_the_request(carol: User, bob: User, endpoint: Endpoint) -> None:
    row = deny_request(actor=bob, request=ask(carol, endpoint), comment="Use the replica")
    vote = row.decisions.get()
    assert (vote.decider, vote.verdict, vote.comment) == (bob, Verdict.DENIED, "Use the replica")
    assert vote.approved_seconds is None
    stored = AccessRequest.objects.get(pk=row.pk)
    assert (stored.state, stored.settled_at, stored.granted_seconds) == (RequestState.DENIED, vote.decided_at, None)
    assert AuditEvent.objects.get(action="request.denied").details["comment"] == "Use the replica"


@pytest.mark.django_db
def test_who_comes_too_late_reads_who_decided(carol: User, bob: User, dave: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    factories.make_decision(request, Verdict.DENIED)  # a vote that did not settle it
    frank = factories.make_user()
    denied = deny_request(actor=bob, request=ask(frank, endpoint))
    approve_request(actor=dave, request=request)
    with pytest.raises(ConflictError, match="already approved by Dave Admin\\."):
        deny_request(actor=bob, request=request)
    with pytest.raises(ConflictError, match="already denied by Bob Approver\\."):
        cancel_request(actor=frank, request=denied)
    assert request.decisions.count() == 2


@pytest.mark.django_db
def test_an_approval_that_grants_nothing_leaves_no_vote(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    factories.make_grant(user=carol, endpoint=endpoint)
    with pytest.raises(ConflictError, match="already has access"):
        approve_request(actor=bob, request=request)
    with pytest.raises(InvalidError):
        deny_request(actor=bob, request=request, comment="no\u202eon")
    assert not request.decisions.exists()
    assert AccessRequest.objects.get(pk=request.pk).settled_at is None


@pytest.mark.django_db
@pytest.mark.parametrize("persona", ["bob", "dave"])
def test_who_is_suspended_decides_nothing(
    request: pytest.FixtureRequest, carol: User, endpoint: Endpoint, persona: str
) -> None:
    factories.make_user(role=User.Role.ADMIN)  # the last admin cannot be suspended
    asked, decider = ask(carol, endpoint), request.getfixturevalue(persona)
    decider.is_active = False
    decider.save(update_fields=["is_active"])
    for decide in (approve_request, deny_request):
        with pytest.raises(ForbiddenError, match="suspended"):
            decide(actor=decider, request=asked)
    asked.refresh_from_db()
    assert asked.state == RequestState.PENDING


@pytest.mark.django_db
def test_who_is_suspended_neither_asks_nor_takes_back(carol: User, endpoint: Endpoint) -> None:
    asked = ask(carol, endpoint)
    carol.is_active = False
    carol.save(update_fields=["is_active"])
    with pytest.raises(ForbiddenError):
        ask(carol, factories.make_endpoint(is_requestable=True))
    with pytest.raises(ForbiddenError):
        cancel_request(actor=carol, request=asked)
    assert AccessRequest.objects.pending().count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_approvers_at_once_make_one_grant(carol: User, bob: User, dave: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    results = race(
        lambda: approve_request(actor=bob, request=request),
        lambda: deny_request(actor=dave, request=request),
        lambda: approve_request(actor=bob, request=request),
    )
    assert sum(isinstance(result, ConflictError) for result in results) == 2
    decided = AccessRequest.objects.get(pk=request.pk)
    assert Grant.objects.count() == (1 if decided.state == RequestState.APPROVED else 0)
    assert decided.decisions.get().verdict == decided.state


@pytest.mark.django_db
def test_an_approver_may_shorten_but_not_lengthen(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    with pytest.raises(InvalidError):
        approve_request(actor=bob, request=request, duration="3h")
    assert AccessRequest.objects.get(pk=request.pk).state == RequestState.PENDING


@pytest.mark.django_db
def test_cancel_and_lapse(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    with pytest.raises(ForbiddenError):
        cancel_request(actor=bob, request=request)
    assert cancel_request(actor=carol, request=request).state == RequestState.CANCELLED
    later = ask(carol, endpoint)
    AccessRequest.objects.filter(pk=later.pk).update(lapses_at=timezone.now() - timedelta(seconds=1))
    assert lapse_requests() == 1
    assert lapse_requests() == 0
    assert not Decision.objects.exists()
    assert not AccessRequest.objects.filter(settled_at__isnull=True).exists()
    with pytest.raises(ConflictError):
        approve_request(actor=bob, request=later)


@pytest.mark.django_db
def test_a_suspended_persons_request_is_not_approved(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    User.objects.filter(pk=carol.pk).update(is_active=False)
    with pytest.raises(ConflictError):
        approve_request(actor=bob, request=request)


@pytest.mark.django_db
def test_an_endpoint_that_was_moved_is_not_approved(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    endpoint.resource = factories.make_resource()
    endpoint.save(update_fields=["resource"])
    with pytest.raises(ConflictError, match="another database"):
        approve_request(actor=bob, request=request)
    assert not Grant.objects.exists()


@pytest.mark.django_db
def test_a_request_lapses_even_before_the_sweep(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    AccessRequest.objects.filter(pk=request.pk).update(lapses_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(ConflictError, match="lapsed"):
        approve_request(actor=bob, request=request)


@pytest.mark.django_db
def test_who_may_not_ask_any_more_is_not_given_it(alice: User, bob: User) -> None:
    needs_approval = factories.make_endpoint(is_jit_enabled=True, approvers=[bob.email])
    group = factories.make_group(members=[alice], endpoints=[needs_approval])
    request = ask(alice, needs_approval)
    group.members.all().delete()
    with pytest.raises(ConflictError, match="may not ask for"):
        approve_request(actor=bob, request=request)
    assert not Grant.objects.exists()
    assert deny_request(actor=bob, request=request).state == RequestState.DENIED


@pytest.mark.django_db
def test_an_endpoint_that_is_closed_to_requests_by_now_is_not_given(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    Endpoint.objects.filter(pk=endpoint.pk).update(is_requestable=False)
    with pytest.raises(ConflictError, match="may not ask for"):
        approve_request(actor=bob, request=request)


@pytest.mark.django_db
def test_no_longer_than_the_endpoint_gives_by_now(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    Endpoint.objects.filter(pk=endpoint.pk).update(ttl="30m", ttl_seconds=1800)
    with pytest.raises(InvalidError) as caught:
        approve_request(actor=bob, request=request)
    assert list(caught.value.fields) == ["duration"]
    approve_request(actor=bob, request=request, duration="30m")
    assert Grant.objects.get(request=request).ttl_seconds == 1800


@pytest.mark.django_db
def test_what_changed_while_the_approver_looked_is_looked_at_again(carol: User, bob: User, endpoint: Endpoint) -> None:
    request = ask(carol, endpoint)
    shown = since_asked([request])[request.pk]
    assert shown.changes == ()
    Endpoint.objects.filter(pk=endpoint.pk).update(ttl="30m", ttl_seconds=1800)
    with pytest.raises(ConflictError, match="not what you were shown"):
        approve_request(actor=bob, request=request, duration="10m", attested=shown.attested)
    now = since_asked([AccessRequest.objects.get(pk=request.pk)])[request.pk]
    assert "gives at most 30 minutes by now" in now.changes[0]
    approve_request(actor=bob, request=request, duration="10m", attested=now.attested)
    event = AuditEvent.objects.get(action="request.approved")
    assert event.details["attested"] == now.attested
