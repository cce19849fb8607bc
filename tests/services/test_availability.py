"""A resource that keeps workers waiting is asked by one of them at a time; the others apply elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.states import GrantState, Work
from accessmgmt.models import Endpoint, Grant, Resource, TargetSilence, User
from accessmgmt.services.grants import apply, endings
from accessmgmt.services.setup.resources import save_resource
from accessmgmt.services.targets import availability, connection_test
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import make_target

pytestmark = pytest.mark.django_db(transaction=True)
WORKERS = 2


@pytest.fixture
def endpoint(target_server: Callable[[int], PostgresServer]) -> Endpoint:
    """SELECT on public of a database of its own."""
    fields: dict[str, Any] = make_target(target_server(18))
    return factories.make_endpoint(resource=factories.make_resource(**fields))


def queued(endpoint: Endpoint, count: int) -> list[Grant]:
    return [factories.make_grant("queued", endpoint=endpoint) for _ in range(count)]


def states(grants: list[Grant]) -> set[str]:
    return set(Grant.objects.filter(pk__in=[grant.pk for grant in grants]).values_list("state", flat=True))


def put_to_silence(resource: Resource, seconds: float, tries: int = 3, work: Work = Work.APPLY) -> None:
    now = timezone.now()
    TargetSilence.objects.update_or_create(
        resource=resource,
        work=work,
        defaults={"ask_again_at": now + timedelta(seconds=seconds), "tries": tries, "since": now, "what": "No answer."},
    )


def silences(resource: Resource) -> set[str]:
    return set(TargetSilence.objects.filter(resource=resource).values_list("work", flat=True))


def test_a_resource_that_never_answers_keeps_no_worker_from_another(endpoint: Endpoint, silent_port: int) -> None:
    """One asks it; the rest of what waits for it is put off without asking."""
    silent = factories.make_endpoint(resource=factories.make_resource(host="127.0.0.1", port=silent_port))
    stuck, fine = queued(silent, 12), queued(endpoint, 4)
    line = [grant.pk for grant in (*stuck, *fine)]
    lock = threading.Lock()

    def work() -> None:
        try:
            while True:
                with lock:
                    if not line:
                        return
                    grant_id = line.pop(0)
                apply.apply_waiting_grant(grant_id)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert states(fine) == {GrantState.ACTIVE}
    assert states(stuck) == {GrantState.APPLYING}
    not_asked = ("a moment ago", "others are asking")
    words = [row.last_error["what"] for row in Grant.objects.filter(endpoint=silent)]
    assert len([what for what in words if not any(part in what for part in not_asked)]) == 1
    assert not Grant.objects.filter(endpoint=silent, lease_token__isnull=False).exists()


def test_one_worker_has_the_turn_and_an_answer_frees_what_waits(endpoint: Endpoint) -> None:
    first, second, third = queued(endpoint, 3)
    resource = endpoint.resource
    put_to_silence(resource, 30)
    assert apply.apply_waiting_grant(first.pk) == GrantState.APPLYING
    put_to_silence(resource, -1)
    seen_by_another = availability.silences_of(resource)
    assert apply.apply_waiting_grant(second.pk) == GrantState.ACTIVE
    assert availability.still_silent(resource, seen_by_another) is not None, "the turn was taken"
    first.refresh_from_db()
    assert silences(resource) == set()
    assert first.next_attempt_at <= timezone.now()
    assert apply.apply_waiting_grant(third.pk) == GrantState.ACTIVE
    assert apply.apply_waiting_grant(first.pk) == GrantState.ACTIVE


def test_the_pause_grows_with_each_try_and_only_a_long_wait_counts(endpoint: Endpoint) -> None:
    resource = endpoint.resource
    error = TargetUnavailable("No answer.", why="Timeout.")
    availability.apply_failed(resource, error, availability.LONG_SECONDS - 0.1)
    assert silences(resource) == set(), "a server that refuses at once keeps nobody waiting"
    since = None
    for number, seconds in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
        began = timezone.now()
        availability.apply_failed(resource, error, availability.LONG_SECONDS)
        silence = TargetSilence.objects.get(resource=resource)
        assert began <= silence.ask_again_at - timedelta(seconds=seconds) <= timezone.now()
        assert (silence.tries, silence.what, silence.why) == (number, "No answer.", "Timeout.")
        assert since in {None, silence.since}, "it is silent since the first time"
        since = silence.since
    availability.apply_failed(resource, error, availability.LONG_SECONDS - 0.1)
    assert silences(resource) == set()


def test_what_the_server_said_before_stays_on_the_card(endpoint: Endpoint) -> None:
    [grant] = queued(endpoint, 1)
    Grant.objects.filter(pk=grant.pk).update(last_error={"what": "No answer within 5 seconds."})
    put_to_silence(endpoint.resource, 30)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.APPLYING
    grant.refresh_from_db()
    assert grant.last_error == {"what": "No answer within 5 seconds."}


def test_an_admin_ends_the_silence(endpoint: Endpoint, dave: User) -> None:
    """By a connection test that passes, or by saving the resource."""
    ending = factories.make_grant("ending", endpoint=endpoint)
    frees: list[Callable[[], object]] = [
        lambda: connection_test.test_connection(actor=dave, resource=endpoint.resource),
        lambda: save_resource(actor=dave, resource=endpoint.resource),
    ]
    for free in frees:
        later = timezone.now() + timedelta(hours=1)
        Grant.objects.filter(pk=ending.pk).update(next_attempt_at=later)
        for work in Work:
            put_to_silence(endpoint.resource, 30, work=work)
        free()
        assert silences(endpoint.resource) == set()
        ending.refresh_from_db()
        assert ending.next_attempt_at < later


@pytest.mark.parametrize(
    ("work", "freed"),
    [(Work.COMPARE, {Work.COMPARE}), (Work.APPLY, {Work.COMPARE, Work.APPLY}), (Work.END, set(Work))],
)
def test_an_answer_frees_what_needs_no_more_servers_than_the_work_that_got_it(work: Work, freed: set[Work]) -> None:
    """A primary that answers says nothing of the standby that an ending waits for."""
    resource = factories.make_resource()
    for each in Work:
        put_to_silence(resource, 30, work=each)
    assert availability.answered(resource.pk, work)
    assert silences(resource) == set(Work) - freed
    assert not availability.answered(resource.pk, work)


def test_nothing_that_applies_or_compares_holds_up_an_ending(endpoint: Endpoint) -> None:
    for work in (Work.APPLY, Work.COMPARE):
        put_to_silence(endpoint.resource, 3_600, work=work)
    ending = factories.make_grant("queued", endpoint=endpoint)
    end = {"state": GrantState.ENDING, "end_reason": "released", "end_requested_at": timezone.now()}
    Grant.objects.filter(pk=ending.pk).update(**end)
    assert endings.end_grants_of(endpoint.resource_id) == 1
    assert silences(endpoint.resource) == set(), "it answers, and every other work goes on"


def test_an_ending_that_gets_no_answer_is_told_on_the_pages_of_the_resource(dave: User) -> None:
    endpoint = factories.make_endpoint(resource=factories.make_resource(host="127.0.0.1", port=1))
    grant = factories.make_grant("ending", endpoint=endpoint)
    assert endings.end_grants_of(endpoint.resource_id) == 0
    silence = TargetSilence.objects.get(resource=endpoint.resource, work=Work.END)
    grant.refresh_from_db()
    assert grant.last_error["what"] == silence.what
    client = Client()
    client.force_login(dave)
    page = client.get(f"/resources/{endpoint.resource_id}").content.decode()
    assert "Its server has not answered since" in page
    assert escape(f"Ending access: {silence.what}") in page
    assert "Does not answer" in client.get("/resources/").content.decode()
    availability.answered(endpoint.resource_id, Work.END)
    assert "Does not answer" not in client.get("/resources/").content.decode()
    assert "has not answered since" not in client.get(f"/resources/{endpoint.resource_id}").content.decode()


def test_a_table_that_somebody_locks_puts_nobody_else_off(
    endpoint: Endpoint, target_server: Callable[[int], PostgresServer]
) -> None:
    """One set has to be granted on a table that a migration holds; another is there already."""
    ready, quick = queued(endpoint, 2)
    assert apply.apply_waiting_grant(ready.pk) == GrantState.ACTIVE
    wanted = {"grants": ["SELECT", "INSERT"], "schemas": ["public"], "tables": ["*"]}
    authorization = factories.make_authorization(permissions=wanted)
    other = factories.make_endpoint(resource=endpoint.resource, authorization=authorization)
    [slow] = queued(other, 1)
    with target_server(18).connect(endpoint.resource.database_name) as dba:
        dba.execute("BEGIN; LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE")
        assert apply.apply_waiting_grant(slow.pk) == GrantState.APPLYING
        assert apply.apply_waiting_grant(quick.pk) == GrantState.ACTIVE
        dba.execute("ROLLBACK")
