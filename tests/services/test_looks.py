"""A look is a row: asked for once, done by one worker, over at its deadline whatever happens; no secret stays."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accessmgmt import waking
from accessmgmt.domain.errors import ConflictError, ForbiddenError, TargetUnavailable
from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.domain.targets import Rung, RungState, Target
from accessmgmt.models import Resource, TargetLook, User
from accessmgmt.provisioning.check import ladder as engine
from accessmgmt.services import housekeeping
from accessmgmt.services.setup import resources, save
from accessmgmt.services.targets import connection_test, drift, look_work, looks
from accessmgmt.waking import Task
from devstack.process import wait_until
from tests import factories
from tests.looks import do_waiting, done

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "s3cret-Admin-Passw0rd"
PATIENCE = 30


class Ladder:
    """A connection test whose second rung is found when `go` says so; `names` are the resources that were tested."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()
        self.names: list[str] = []
        self.passwords: list[str] = []

    def climb(self, target: Target, *_: object, **__: object) -> Iterator[Rung]:
        self.names.append(target.name)
        self.passwords.append(target.password)
        try:
            yield Rung("Host name", RungState.PASSED, "An address.", elapsed_ms=1.5)
            assert self.go.wait(PATIENCE)
            yield Rung("Port", RungState.FAILED, "Nothing listens.", fix="Start it.")
        finally:
            self.ended.set()


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Ladder:
    made = Ladder()
    monkeypatch.setattr(engine, "test_connection", made.climb)
    return made


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Task, str]]:
    """The messages that would have been sent."""
    sent: list[tuple[Task, str]] = []
    monkeypatch.setattr(waking, "_send", lambda task, pk, _=None: sent.append((task, pk)))
    return sent


@pytest.fixture
def worker() -> Iterator[Callable[[TargetLook], threading.Thread]]:
    """Starts a worker at a look, in a thread that is awaited at the end."""
    threads: list[threading.Thread] = []

    def start(look: TargetLook) -> threading.Thread:
        def work() -> None:
            try:
                look_work.look_at_target(look.pk)
            finally:
                connection.close()

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(PATIENCE)


def running(resource: Resource, kind: LookKind = LookKind.CONNECTION, **fields: Any) -> TargetLook:
    """A look that some other worker is at."""
    now = timezone.now()
    values = {
        "state": LookState.RUNNING,
        "attempts": 1,
        "started_at": now,
        "lease_token": uuid.uuid4(),
        "lease_until": now + timedelta(seconds=20),
        "deadline_at": now + timedelta(seconds=60),
        "asked_by": fields.pop("asked_by", None) or factories.make_user(),
    }
    return TargetLook.objects.create(kind=kind, resource=resource, **{**values, **fields})


def unsaved(**fields: Any) -> Resource:
    values = {"name": "new", "host": "db.example.invalid", "port": 5432, "database_name": "d", "username": "u"}
    return Resource(**{**values, "password": SECRET, **fields})


# --- asking ---


def test_only_admins_ask(alice: User, erin: User) -> None:
    resource = factories.make_resource()
    for person in (alice, erin):
        with pytest.raises(ForbiddenError):
            looks.ask_for_test(actor=person, resource=resource)
        with pytest.raises(ForbiddenError):
            looks.ask_for_unsaved_test(actor=person, resource=unsaved())
        with pytest.raises(ForbiddenError):
            looks.ask_for_move(actor=person, resource=resource)
        with pytest.raises(ForbiddenError):
            looks.ask_for_check(actor=person, resource=resource)
        with pytest.raises(ForbiddenError):
            looks.ask_for_repair(actor=person, resource=resource, keys=["x"])
    assert not TargetLook.objects.exists()


def test_whoever_clicks_twice_or_beside_another_admin_gets_the_look_that_is_on_its_way(dave: User) -> None:
    resource, other = factories.make_resource(), factories.make_user(role=User.Role.ADMIN)
    first = looks.ask_for_test(actor=dave, resource=resource)
    assert looks.ask_for_test(actor=other, resource=resource).pk == first.pk
    assert looks.ask_for_check(actor=dave, resource=resource).pk != first.pk
    assert looks.ask_for_test(actor=dave, resource=factories.make_resource()).pk != first.pk
    TargetLook.objects.filter(pk=first.pk).update(state=LookState.DONE, finished_at=timezone.now())
    assert looks.ask_for_test(actor=dave, resource=resource).pk != first.pk


def test_two_clicks_at_the_same_moment_are_one_look(dave: User) -> None:
    resource = factories.make_resource()
    start, made = threading.Barrier(4), []

    def click() -> None:
        try:
            start.wait(PATIENCE)
            made.append(looks.ask_for_test(actor=dave, resource=resource).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (len(made), len(set(made)), TargetLook.objects.count()) == (4, 1, 1)


def test_another_choice_waits_for_the_repair_that_is_on_its_way(dave: User) -> None:
    resource = factories.make_resource()
    first = looks.ask_for_repair(actor=dave, resource=resource, keys=["a", "b"])
    assert looks.ask_for_repair(actor=dave, resource=resource, keys=["b", "a"]).pk == first.pk
    with pytest.raises(ConflictError, match="on its way"):
        looks.ask_for_repair(actor=dave, resource=resource, keys=["a"])


def test_a_corrected_form_is_tested_at_once_and_the_test_before_is_given_up(
    dave: User, ladder: Ladder, worker: Callable[[TargetLook], threading.Thread]
) -> None:
    first = looks.ask_for_unsaved_test(actor=dave, resource=unsaved(name="first"))
    assert looks.ask_for_unsaved_test(actor=dave, resource=unsaved(name="first")).pk == first.pk
    thread = worker(first)
    wait_until(lambda: TargetLook.objects.get(pk=first.pk).rungs, timeout=PATIENCE, what="the first rung is there")
    second = looks.ask_for_unsaved_test(actor=dave, resource=unsaved(name="second"))
    first.refresh_from_db()
    assert (first.state, first.error["what"], first.secrets) == (LookState.FAILED, "It was given up.", "")
    ladder.go.set()
    thread.join(PATIENCE)
    assert ladder.ended.is_set(), "the climb that nobody waits for has ended in good order"
    assert done(second).state == LookState.DONE
    first.refresh_from_db()
    assert (first.state, len(first.rungs)) == (LookState.FAILED, 1)


# --- secrets ---


def test_what_a_form_holds_is_encrypted_while_it_waits_and_erased_when_it_is_over(
    dave: User, ladder: Ladder, woken: list[tuple[Task, str]]
) -> None:
    look = looks.ask_for_unsaved_test(actor=dave, resource=unsaved(tls_key_file="the-key", aws_secret_access_key="aws"))
    assert woken == [(Task.LOOK_AT_TARGET, str(look.pk))], "the message names the row, and nothing of it"
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(l)::text FROM accessmgmt_targetlook l")
        stored = cursor.fetchone()[0]
    assert '"password"' not in stored
    assert not any(secret in stored for secret in (SECRET, "the-key", '"aws"'))
    ladder.go.set()
    look = done(look)
    assert (ladder.passwords, look.state, look.secrets) == ([SECRET], LookState.DONE, "")
    assert SECRET not in str([look.rungs, look.result, look.order, look.error])


@pytest.mark.parametrize("end", ["failed", "too late", "never taken up"])
def test_secrets_are_erased_however_a_look_ends(dave: User, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    look = looks.ask_for_unsaved_test(actor=dave, resource=unsaved())
    if end == "failed":

        def fail(*_: object, **__: object) -> object:
            raise RuntimeError(SECRET)

        monkeypatch.setattr(engine, "test_connection", fail)
        look_work.look_at_target(look.pk)
    else:
        with time_machine.travel(timezone.now() - timedelta(hours=1)):
            past = timezone.now()
        TargetLook.objects.filter(pk=look.pk).update(asked_at=past)
        if end == "too late":
            leased = {"lease_token": uuid.uuid4(), "lease_until": past, "deadline_at": past}
            TargetLook.objects.filter(pk=look.pk).update(state=LookState.RUNNING, **leased)
        looks.sweep()
    look.refresh_from_db()
    assert (look.state, look.secrets) == (LookState.FAILED, "")
    assert look.error["what"]
    assert SECRET not in str(look.error)


# --- doing ---


def test_each_rung_is_seen_as_soon_as_it_is_known(
    dave: User, ladder: Ladder, worker: Callable[[TargetLook], threading.Thread]
) -> None:
    look = looks.ask_for_test(actor=dave, resource=factories.make_resource())
    thread = worker(look)
    wait_until(lambda: TargetLook.objects.get(pk=look.pk).rungs, timeout=PATIENCE, what="the first rung is there")
    look.refresh_from_db()
    assert look.state == LookState.RUNNING
    assert look.found_rungs == [Rung("Host name", RungState.PASSED, "An address.", elapsed_ms=1.5)]
    assert not ladder.ended.is_set()
    ladder.go.set()
    thread.join(PATIENCE)
    look.refresh_from_db()
    assert (look.state, len(look.rungs), look.finished_at is not None) == (LookState.DONE, 2, True)


def test_a_look_is_done_once(dave: User, ladder: Ladder) -> None:
    ladder.go.set()
    look = looks.ask_for_test(actor=dave, resource=factories.make_resource())
    assert look_work.look_at_target(look.pk) == LookState.DONE
    assert look_work.look_at_target(look.pk) == "nothing to do"
    assert look_work.look_at_target(uuid.uuid4()) == "nothing to do"
    assert len(ladder.names) == 1


def test_one_look_at_a_resource_at_a_time_and_the_next_is_woken(
    dave: User, ladder: Ladder, woken: list[tuple[Task, str]], worker: Callable[[TargetLook], threading.Thread]
) -> None:
    resource = factories.make_resource()
    first = looks.ask_for_test(actor=dave, resource=resource)
    second = looks.ask_for_check(actor=dave, resource=resource)
    elsewhere = looks.ask_for_test(actor=dave, resource=factories.make_resource())
    thread = worker(first)
    wait_until(lambda: TargetLook.objects.get(pk=first.pk).rungs, timeout=PATIENCE, what="the first is on its way")
    assert look_work.look_at_target(second.pk) == "nothing to do"
    ladder.go.set()
    assert look_work.look_at_target(elsewhere.pk) == LookState.DONE
    thread.join(PATIENCE)
    woken.clear()
    assert done(first).state == LookState.DONE
    assert looks.wake(TargetLook.objects.live()) == 1
    assert woken == [(Task.LOOK_AT_TARGET, str(second.pk))]
    assert done(second).state == LookState.FAILED, "nobody is there, and now it was asked"


def test_only_so_many_at_once_in_the_whole_installation(dave: User, ladder: Ladder) -> None:
    ladder.go.set()
    others = [running(factories.make_resource()) for _ in range(settings.PORTAL_LOOKS_AT_ONCE)]
    look = looks.ask_for_test(actor=dave, resource=factories.make_resource())
    assert look_work.look_at_target(look.pk) == "nothing to do"
    TargetLook.objects.filter(pk=others[0].pk).update(lease_until=timezone.now())
    assert look_work.look_at_target(look.pk) == LookState.DONE


def test_when_one_is_over_those_that_wait_are_woken(dave: User, ladder: Ladder, woken: list[tuple[Task, str]]) -> None:
    ladder.go.set()
    first, second = (looks.ask_for_test(actor=dave, resource=factories.make_resource()) for _ in range(2))
    woken.clear()
    look_work.look_at_target(first.pk)
    assert woken == [(Task.LOOK_AT_TARGET, str(second.pk))]


def test_a_killed_worker_s_look_is_taken_up_again_and_then_fails_where_it_is_seen(dave: User, ladder: Ladder) -> None:
    ladder.go.set()
    past = timezone.now() - timedelta(seconds=1)
    look = running(factories.make_resource(), asked_by=dave, lease_until=past, rungs=[{"name": "of the first"}])
    assert done(look).state == LookState.DONE
    assert [rung.name for rung in look.found_rungs] == ["Host name", "Port"]
    again = running(factories.make_resource(), asked_by=dave, lease_until=past, attempts=looks.MOST_ATTEMPTS)
    assert look_work.look_at_target(again.pk) == "nothing to do"
    looks.sweep()
    again.refresh_from_db()
    assert (again.state, "were stopped" in again.error["what"]) == (LookState.FAILED, True)
    assert len(ladder.names) == 1


def test_a_look_is_over_at_its_deadline_and_what_comes_later_is_thrown_away(
    dave: User, ladder: Ladder, worker: Callable[[TargetLook], threading.Thread]
) -> None:
    """The worker still waits for the server, and keeps its lease: the page does not wait with it."""
    look = looks.ask_for_test(actor=dave, resource=factories.make_resource())
    thread = worker(look)
    wait_until(lambda: TargetLook.objects.get(pk=look.pk).rungs, timeout=PATIENCE, what="the first rung is there")
    looks.sweep()
    assert TargetLook.objects.get(pk=look.pk).state == LookState.RUNNING
    TargetLook.objects.filter(pk=look.pk).update(deadline_at=timezone.now())
    looks.sweep()
    look.refresh_from_db()
    assert (look.state, look.error["what"]) == (LookState.FAILED, "The look took too long.")
    ladder.go.set()
    thread.join(PATIENCE)
    look.refresh_from_db()
    assert (look.state, len(look.rungs)) == (LookState.FAILED, 1)


def test_a_repair_begins_nothing_after_its_time_and_no_conversation_outlasts_it(
    dave: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, float] = {}

    def repair(*_: object, **limits: float) -> object:
        given.update(limits)
        raise TargetUnavailable("No answer.")

    monkeypatch.setattr(drift.repair, "repair", repair)
    monkeypatch.setattr(settings, "PORTAL_LOOK_SECONDS", 5)
    look = done(looks.ask_for_repair(actor=dave, resource=factories.make_resource(), keys=["x"]))
    assert (look.state, look.error["what"]) == (LookState.FAILED, "No answer.")
    assert 0 < given["budget_seconds"] <= 5
    assert look.deadline_at - look.started_at == timedelta(seconds=5)


def test_who_was_suspended_or_is_no_admin_any_more_sees_nothing_of_a_server(dave: User, ladder: Ladder) -> None:
    factories.make_user(role=User.Role.ADMIN)
    ladder.go.set()
    for change in ({"is_active": False}, {"role": User.Role.MEMBER, "is_active": True}):
        User.objects.filter(pk=dave.pk).update(is_active=True, role=User.Role.ADMIN)
        dave.refresh_from_db()
        look = looks.ask_for_test(actor=dave, resource=factories.make_resource())
        User.objects.filter(pk=dave.pk).update(**change)
        assert done(look).state == LookState.FAILED
    assert not ladder.names


def test_a_fault_of_our_own_stands_on_the_page_without_its_words(dave: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(engine, "test_connection", fail)
    look = done(looks.ask_for_test(actor=dave, resource=factories.make_resource()))
    assert (look.state, "RuntimeError" in look.error["why"]) == (LookState.FAILED, True)
    assert SECRET not in str(look.error)


def test_a_resource_that_is_gone_takes_its_looks_along(
    dave: User, ladder: Ladder, worker: Callable[[TargetLook], threading.Thread]
) -> None:
    resource = factories.make_resource()
    look = looks.ask_for_test(actor=dave, resource=resource)
    thread = worker(look)
    wait_until(lambda: TargetLook.objects.get(pk=look.pk).rungs, timeout=PATIENCE, what="the first rung is there")
    save.delete_described(actor=dave, row=resource)
    ladder.go.set()
    thread.join(PATIENCE)
    assert ladder.ended.is_set()
    assert not TargetLook.objects.exists()


# --- moving ---


def test_a_move_is_not_saved_over_what_somebody_changed_meanwhile(dave: User) -> None:
    resource = factories.make_resource()
    moved = Resource.objects.get(pk=resource.pk)
    moved.host = "moved.example.invalid"
    look = looks.ask_for_move(actor=dave, resource=moved)
    resources.save_resource(actor=dave, resource=Resource.objects.get(pk=resource.pk))
    assert done(look).state == LookState.FAILED
    assert "was changed meanwhile" in look.error["what"]
    assert Resource.objects.get(pk=resource.pk).host == resource.host


def test_a_move_that_was_given_up_is_not_saved_when_the_server_answers_at_last(
    dave: User, monkeypatch: pytest.MonkeyPatch, worker: Callable[[TargetLook], threading.Thread]
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def ask(**_: object) -> None:
        asked.set()
        assert answer.wait(PATIENCE)

    monkeypatch.setattr(connection_test, "check_same_server", ask)
    resource = factories.make_resource()
    moved = Resource.objects.get(pk=resource.pk)
    moved.host = "moved.example.invalid"
    look = looks.ask_for_move(actor=dave, resource=moved)
    thread = worker(look)
    assert asked.wait(PATIENCE)
    TargetLook.objects.filter(pk=look.pk).update(deadline_at=timezone.now())
    looks.sweep()
    answer.set()
    thread.join(PATIENCE)
    look.refresh_from_db()
    assert (look.state, look.error["what"]) == (LookState.FAILED, "The look took too long.")
    assert Resource.objects.get(pk=resource.pk).host == resource.host


# --- the sweep, and old rows ---


def test_the_sweep_finds_a_look_whose_message_was_lost(dave: User, woken: list[tuple[Task, str]]) -> None:
    look = looks.ask_for_test(actor=dave, resource=factories.make_resource())
    woken.clear()
    assert looks.sweep() == 0, "its own message is on its way"
    TargetLook.objects.update(wake_at=timezone.now())
    assert looks.sweep() == 1
    assert looks.sweep() == 0, "a row that was woken is left alone for a moment"
    assert woken == [(Task.LOOK_AT_TARGET, str(look.pk))]
    running(factories.make_resource())
    assert looks.sweep() == 0, "what a worker holds is left to it"


def test_old_looks_go_but_the_newest_of_a_kind_stays(dave: User, alice: User) -> None:
    resource = factories.make_resource()
    old, older = timezone.now() - looks.KEPT * 2, timezone.now() - looks.KEPT * 3

    def over(kind: LookKind, at: Any, on: Resource | None = resource) -> TargetLook:
        return TargetLook.objects.create(
            kind=kind, resource=on, asked_by=dave, state=LookState.DONE, asked_at=at, finished_at=at
        )

    over(LookKind.CONNECTION, older)
    over(LookKind.UNSAVED, timezone.now() - looks.UNSAVED_KEPT * 2, None)
    kept = [
        over(LookKind.CONNECTION, old),
        over(LookKind.DRIFT, older),
        over(LookKind.UNSAVED, timezone.now(), None),
        looks.ask_for_test(actor=dave, resource=resource),
    ]
    housekeeping.throw_away_old()
    assert set(TargetLook.objects.values_list("pk", flat=True)) == {look.pk for look in kept}
    assert do_waiting()
