"""Many endings of one resource together, and one resource that hangs beside one that works."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from accessmgmt.domain.actions import Action
from accessmgmt.domain.orders import EndOrder
from accessmgmt.domain.states import EndReason, GrantState, Work
from accessmgmt.domain.targets import Target
from accessmgmt.models import AuditEvent, Endpoint, Grant, TargetSilence
from accessmgmt.provisioning.connect import reach
from accessmgmt.services.grants import apply, endings, leases, sweep
from accessmgmt.services.grants.stop import begin_end
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import log_in, make_target

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def facts(target_server: Callable[[int], PostgresServer]) -> dict[str, Any]:
    """The connection fields of a database of its own."""
    return make_target(target_server(18))


@pytest.fixture
def endpoint(facts: dict[str, Any]) -> Endpoint:
    """SELECT on public of that database."""
    return factories.make_endpoint(resource=factories.make_resource(**facts))


def due(endpoint: Endpoint, count: int) -> list[Grant]:
    """Store grants that are ending and that nobody has tried to end yet."""
    fields = {"endpoint": endpoint, "next_attempt_at": timezone.now(), "role_oid": None}
    return [factories.make_grant("ending", **fields) for _ in range(count)]


def claim(endpoint: Endpoint, *, most_claims: int = 1, size: int = 10) -> list[Grant]:
    return endings.claim_batch(endpoint.resource_id, most_claims=most_claims, besides=(), size=size)


def state_of(grant: Grant) -> str:
    return Grant.objects.values_list("state", flat=True).get(pk=grant.pk)


def test_all_that_is_due_ends_in_batches_each_with_its_proof(facts: dict[str, Any], endpoint: Endpoint) -> None:
    grants = [factories.make_grant("queued", endpoint=endpoint) for _ in range(5)]
    for grant in grants:
        assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
        grant.refresh_from_db()
    sessions = [log_in(facts, grant.role_name, grant.password) for grant in grants[:3]]
    vanished = due(endpoint, 60)
    Grant.objects.active().update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sweep.sweep() == 65

    assert endings.end_grants_of(endpoint.resource_id) == 65
    assert endings.end_grants_of(endpoint.resource_id) == 0

    for session in sessions:
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    cut = [len(Grant.objects.get(pk=grant.pk).end_receipt["sessions"]) for grant in grants]
    assert cut == [1, 1, 1, 0, 0]
    assert Grant.objects.get(pk=vanished[0].pk).end_receipt["role_was_absent"] is True
    assert not Grant.objects.exclude(password="").exists()
    assert not Grant.objects.filter(lease_token__isnull=False).exists()
    ended = AuditEvent.objects.filter(action="grant.ended")
    assert set(ended.values_list("object_id", flat=True)) == {
        str(pk) for pk in Grant.objects.values_list("pk", flat=True)
    }
    assert ended.count() == 65
    assert AuditEvent.objects.filter(action="grant.expired").count() == 5


def test_one_that_is_refused_waits_alone(endpoint: Endpoint, target_server: Callable[[int], PostgresServer]) -> None:
    good, bad = due(endpoint, 2)
    with target_server(18).connect() as conn:
        conn.execute(f'CREATE ROLE "{bad.role_name}"')
    assert endings.end_grants_of(endpoint.resource_id) == 1
    bad.refresh_from_db()
    assert (state_of(good), bad.state, bad.attempts, bad.lease_token) == (GrantState.ENDED, GrantState.ENDING, 1, None)
    assert "not this grant" in bad.last_error["what"]
    assert bad.next_attempt_at > timezone.now()
    more = due(endpoint, 1)
    assert endings.end_grants_of(endpoint.resource_id) == 1, "a refusal of one role is no silence of the server"
    assert state_of(more[0]) == GrantState.ENDED
    with target_server(18).connect() as conn:
        conn.execute(f'DROP ROLE "{bad.role_name}"')
    assert endings.end_grants_of(endpoint.resource_id) == 1
    assert state_of(bad) == GrantState.ENDED


def test_the_receipt_says_what_earlier_tries_undid(
    facts: dict[str, Any], target_server: Callable[[int], PostgresServer]
) -> None:
    """A first try dropped a trigger and was refused then: nothing but the receipt still says what the trigger was."""
    with_trigger = {"grants": ["SELECT", "TRIGGER"], "schemas": ["public"], "tables": ["*"]}
    endpoint = factories.make_endpoint(
        resource=factories.make_resource(**facts), authorization=factories.make_authorization(permissions=with_trigger)
    )
    grant = factories.make_grant("queued", endpoint=endpoint)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
    grant.refresh_from_db()
    with target_server(18).connect(facts["database_name"]) as dba:
        dba.execute("CREATE SCHEMA play AUTHORIZATION app_owner; SET ROLE app_owner")
        dba.execute(f"GRANT CREATE, USAGE ON SCHEMA play TO {grant.role_name}")
        with log_in(facts, grant.role_name, grant.password) as user:
            user.execute(
                "CREATE FUNCTION play.tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
                "CREATE TRIGGER mine AFTER INSERT ON public.orders EXECUTE FUNCTION play.tg();"
                "CREATE TRIGGER came BEFORE INSERT ON public.orders FOR EACH ROW"
                " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            )
        Grant.objects.active().update(expires_at=timezone.now() - timedelta(seconds=1))
        assert sweep.sweep() == 1
        assert endings.end_grants_of(endpoint.resource_id) == 0, "jit_quarantine may not create there"
        assert dba.execute("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal").fetchone() == (0,)
        dba.execute("GRANT CREATE ON SCHEMA play TO jit_quarantine")
    Grant.objects.update(next_attempt_at=timezone.now())
    assert endings.end_grants_of(endpoint.resource_id) == 1
    grant.refresh_from_db()
    notes = "\n".join(grant.end_receipt["notes"])
    assert "CREATE TRIGGER mine AFTER INSERT ON public.orders" in notes
    assert "CREATE TRIGGER came BEFORE INSERT ON public.orders" in notes


def test_claims_take_different_rows_and_are_counted(endpoint: Endpoint) -> None:
    due(endpoint, 25)
    first = claim(endpoint)
    assert (len(first), {grant.attempts for grant in first}) == (10, {1})
    assert len({grant.lease_token for grant in first}) == 1
    assert claim(endpoint) == [], "one worker is enough unless more are asked for"
    second = claim(endpoint, most_claims=2)
    assert len(second) == 10
    assert not {grant.pk for grant in first} & {grant.pk for grant in second}
    assert claim(endpoint, most_claims=2) == []
    Grant.objects.filter(pk__in=[grant.pk for grant in first]).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert len(claim(endpoint, most_claims=2)) == 10, "what a killed worker held is taken over"


def test_a_grant_that_is_still_being_applied_does_not_count_as_a_claim(endpoint: Endpoint) -> None:
    lease = {"lease_token": uuid.uuid4(), "lease_until": timezone.now() + timedelta(seconds=20)}
    applying = factories.make_grant("ending", endpoint=endpoint, end_reason=EndReason.RELEASED, **lease)
    waiting = due(endpoint, 1)
    claimed = claim(endpoint)
    assert [grant.pk for grant in claimed] == [waiting[0].pk]
    assert state_of(applying) == GrantState.ENDING


def test_a_worker_that_still_applies_when_its_grant_is_released_holds_up_no_ending(endpoint: Endpoint) -> None:
    """The claim of an apply is an attempt, too; once the end was asked for it is none at the ending."""
    applying = factories.make_grant("queued", endpoint=endpoint)
    assert leases.claim(applying.pk, (GrantState.QUEUED,)) is not None
    waiting = due(endpoint, 1)
    begin_end(actor=applying.user, grant_id=applying.pk, reason=EndReason.RELEASED, action=Action.GRANT_RELEASED)
    assert [grant.pk for grant in claim(endpoint)] == [waiting[0].pk]


def test_many_workers_at_once_end_each_grant_once(endpoint: Endpoint) -> None:
    due(endpoint, 120)
    counts: list[int] = []

    def work() -> None:
        try:
            counts.append(endings.end_grants_of(endpoint.resource_id, most_claims=4))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sum(counts) == 120
    assert AuditEvent.objects.filter(action="grant.ended").count() == 120


def test_a_resource_that_never_answers_delays_no_other(
    endpoint: Endpoint, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, as a small installation has: one hangs at the silent port until the other ended what it could."""
    silent = factories.make_endpoint(resource=factories.make_resource(host="127.0.0.1", port=silent_port))
    stuck, fine = due(silent, 30), due(endpoint, 30)
    hanging, is_ended, connect = [0], threading.Event(), endings.end_grants

    def hang(target: Target, orders: Sequence[EndOrder]) -> Any:
        if target.port == silent_port:
            hanging[0] += 1
            assert is_ended.wait(60), "everybody hangs there"
        return connect(target, orders)

    monkeypatch.setattr(endings, "end_grants", hang)
    monkeypatch.setattr(reach, "TIMEOUT_SECONDS", 1.0)
    queue = [silent.resource_id, silent.resource_id, silent.resource_id, endpoint.resource_id]
    lock = threading.Lock()

    def work() -> None:
        try:
            while True:
                with lock:
                    if not queue:
                        return
                    resource_id = queue.pop(0)
                if endings.end_grants_of(resource_id):
                    is_ended.set()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert is_ended.is_set()
    assert hanging == [1]
    assert {state_of(grant) for grant in fine} == {GrantState.ENDED}
    assert {state_of(grant) for grant in stuck} == {GrantState.ENDING}
    tried = Grant.objects.filter(endpoint=silent)
    assert set(tried.values_list("attempts", flat=True)) == {1}, "its other tasks found nothing to do"


def silence_of(endpoint: Endpoint, pause: timedelta) -> None:
    """Let the resource not have answered an ending, and be asked again after a pause."""
    now = timezone.now()
    TargetSilence.objects.create(
        resource=endpoint.resource, work=Work.END, since=now, ask_again_at=now + pause, what="no answer"
    )


def test_a_silent_resource_waits_longer_each_time_and_one_worker_tries_it(
    endpoint: Endpoint, settings: Settings
) -> None:
    settings.PORTAL_SILENT_RESOURCES_AT_ONCE = 1
    grants = due(endpoint, 3)
    assert len(grants) == 3
    silence_of(endpoint, timedelta(hours=1))
    assert claim(endpoint, most_claims=2) == [], "its back-off is not over"
    TargetSilence.objects.update(ask_again_at=timezone.now())
    assert len(claim(endpoint, most_claims=2, size=2)) == 2
    assert claim(endpoint, most_claims=2) == [], "one worker at a time"
    other = factories.make_endpoint()
    due(other, 1)
    silence_of(other, timedelta(0))
    assert claim(other) == [], "one silent resource at a time"
    Grant.objects.filter(endpoint=endpoint).update(lease_until=None, lease_token=None)
    assert len(claim(other)) == 1


def test_silent_resources_that_are_claimed_at_the_same_time_are_counted(settings: Settings) -> None:
    """Five are silent and two may be tried: five workers that ask at the same moment get two of them."""
    settings.PORTAL_SILENT_RESOURCES_AT_ONCE = 2
    endpoints = [factories.make_endpoint() for _ in range(5)]
    for endpoint in endpoints:
        due(endpoint, 1)
        silence_of(endpoint, timedelta(0))
    begin = threading.Barrier(len(endpoints))
    claimed: list[int] = []

    def work(endpoint: Endpoint) -> None:
        try:
            begin.wait(60)
            claimed.append(len(claim(endpoint)))
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=(endpoint,)) for endpoint in endpoints]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(claimed) == [0, 0, 0, 1, 1]


def test_a_dead_server_puts_off_the_whole_resource(facts: dict[str, Any]) -> None:
    facts["port"] = 1
    endpoint = factories.make_endpoint(resource=factories.make_resource(**facts))
    due(endpoint, 55)
    assert endings.end_grants_of(endpoint.resource_id) == 0
    assert Grant.objects.filter(attempts=1).count() == endings.FIRST_BATCH, "the rest is not tried one after the other"
    first = Grant.objects.filter(attempts=1).first()
    assert first is not None
    silence = TargetSilence.objects.get(resource=endpoint.resource)
    assert (silence.work, silence.what) == (Work.END, first.last_error["what"])
    assert Grant.objects.filter(next_attempt_at__lt=first.next_attempt_at).count() == 0
    for attempts, seconds in ((1, 1), (3, 4), (7, 60), (50, 60)):
        assert endings.leases.backoff_seconds(attempts) == seconds
