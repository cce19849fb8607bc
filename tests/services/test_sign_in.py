"""Signing in, and guessing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.hashers import get_hasher
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.client_address import read_proxies
from accessmgmt.domain.errors import TooManyError
from accessmgmt.models import AuditEvent, Tally, User
from accessmgmt.services import tallies
from accessmgmt.services.audit import refusals
from accessmgmt.services.people import sign_in
from accessmgmt.services.people.sign_in import ACCOUNT, ACCOUNT_FROM_ONE_PLACE, KNOWN_BROWSER, PLACE
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    """Let time stand still: waits are over when a test says so, not when the machine was slow."""
    with time_machine.travel(timezone.now(), tick=False) as coordinates:
        yield coordinates


def try_to_log_in(
    email: str, password: str, address: str = HERE, *, client: Client | None = None, **headers: str
) -> int:
    form = {"username": email, "password": password}
    return (client or Client()).post("/login/", form, REMOTE_ADDR=address, headers=headers).status_code


def fail(times: int, email: str, address: str = HERE) -> None:
    """Try wrong passwords as the page does, without drawing it."""
    for _ in range(times):
        assert sign_in.sign_in(email=email, password="wrong", caller=sign_in.Caller(address)) is None


def test_guessing_is_stopped_before_the_right_password_is_found(alice: User, bob: User) -> None:
    fail(ACCOUNT_FROM_ONE_PLACE.free, alice.email)
    assert try_to_log_in(alice.email, PASSWORD) == 429
    assert try_to_log_in(alice.email.upper(), PASSWORD) == 429
    assert try_to_log_in(f" {alice.email} ", PASSWORD) == 429
    assert try_to_log_in(alice.email, PASSWORD, THERE) == 302, "another place is not locked out yet"
    assert try_to_log_in(bob.email, PASSWORD) == 302, "nor is another person at the same place"


def test_the_wait_doubles_and_is_not_prolonged_by_trying_again(alice: User, clock: time_machine.Coordinates) -> None:
    fail(ACCOUNT_FROM_ONE_PLACE.free, alice.email)
    for seconds in (30, 60, 120, 240, 480, 900, 900):
        clock.shift(timedelta(seconds=seconds - 1))
        assert try_to_log_in(alice.email, PASSWORD) == 429
        clock.shift(timedelta(seconds=1))
        fail(1, alice.email)
    clock.shift(timedelta(seconds=900))
    assert try_to_log_in(alice.email, PASSWORD) == 302, "nobody is locked out for ever"
    fail(ACCOUNT_FROM_ONE_PLACE.free, alice.email)


def test_it_says_how_long_to_wait(alice: User) -> None:
    fail(ACCOUNT_FROM_ONE_PLACE.free, alice.email)
    response = Client().post("/login/", {"username": alice.email, "password": PASSWORD}, REMOTE_ADDR=HERE)
    assert "Wait 30 seconds, or ask an admin" in response.content.decode()


def test_a_right_password_begins_anew(alice: User) -> None:
    for _ in range(3):
        fail(ACCOUNT_FROM_ONE_PLACE.free - 1, alice.email)
        assert try_to_log_in(alice.email, PASSWORD) == 302


def test_right_passwords_are_not_counted_for_the_place() -> None:
    people = [make_user() for _ in range(3)]
    for number in range(PLACE.free + 1):
        caller, email = sign_in.Caller(HERE), people[number % 3].email
        assert sign_in.sign_in(email=email, password=PASSWORD, caller=caller) is not None


def test_one_place_that_tries_many_accounts_is_stopped(alice: User) -> None:
    for number in range(PLACE.free):
        fail(1, f"person{number}@company.com")
    assert try_to_log_in("another@company.com", "wrong") == 429
    assert try_to_log_in(alice.email, PASSWORD) == 429
    assert try_to_log_in(alice.email, PASSWORD, THERE) == 302


def test_one_customer_of_a_provider_has_many_ipv6_addresses(alice: User) -> None:
    for number in range(ACCOUNT_FROM_ONE_PLACE.free):
        fail(1, alice.email, f"2001:db8::{number:x}")
    assert try_to_log_in(alice.email, PASSWORD, "2001:db8::ffff:1") == 429
    assert try_to_log_in(alice.email, PASSWORD, "2001:db8:0:1::1") == 302


def test_a_browser_that_is_known_is_let_in_whatever_others_do(alice: User) -> None:
    known = Client()
    assert try_to_log_in(alice.email, PASSWORD, client=known) == 302
    known.post("/logout/")
    fail(ACCOUNT_FROM_ONE_PLACE.free, alice.email)
    for number in range(PLACE.free - ACCOUNT_FROM_ONE_PLACE.free):
        fail(1, f"person{number}@company.com")
    assert try_to_log_in(alice.email, PASSWORD) == 429
    assert try_to_log_in(alice.email, PASSWORD, client=known) == 302


def test_a_known_browser_is_counted_as_well(alice: User) -> None:
    known = Client()
    assert try_to_log_in(alice.email, PASSWORD, client=known) == 302
    known.post("/logout/")
    for _ in range(KNOWN_BROWSER.free):
        assert try_to_log_in(alice.email, "wrong", client=known) == 422
    assert try_to_log_in(alice.email, PASSWORD, THERE, client=known) == 429
    assert try_to_log_in(alice.email, PASSWORD, THERE) == 302


@pytest.mark.parametrize("token", ["", "x", "x:y:z", "é" * 9_000, "bob", "old", ":", "W10:x"])
def test_what_a_browser_says_of_itself_is_checked(alice: User, bob: User, token: str) -> None:
    made_for = {"bob": bob, "old": alice}.get(token)
    with time_machine.travel(timezone.now() - timedelta(days=181)):
        if made_for is alice:
            token = sign_in.known_browser_token(alice, sign_in.Caller(HERE))
    if made_for is bob:
        token = sign_in.known_browser_token(bob, sign_in.Caller(HERE))
    caller = sign_in.Caller(HERE, token)
    for _ in range(ACCOUNT_FROM_ONE_PLACE.free):
        assert sign_in.sign_in(email=alice.email, password="wrong", caller=caller) is None
    with pytest.raises(TooManyError):
        sign_in.sign_in(email=alice.email, password=PASSWORD, caller=caller)


def test_guessing_from_everywhere_is_slowed_down_but_never_shut(alice: User, clock: time_machine.Coordinates) -> None:
    for number in range(ACCOUNT.free):
        fail(1, alice.email, f"198.51.{number}.7")
    assert try_to_log_in(alice.email, PASSWORD, "203.0.113.1") == 429
    clock.shift(ACCOUNT.most_wait)
    assert try_to_log_in(alice.email, PASSWORD, "203.0.113.1") == 302


def test_behind_a_trusted_proxy_people_are_counted_by_their_own_address(alice: User, bob: User, settings: Any) -> None:
    settings.PORTAL_TRUSTED_PROXIES = read_proxies(["10.0.0.0/8"])
    for number in range(PLACE.free):
        fail(1, f"p{number}@company.com", HERE)
    assert try_to_log_in(alice.email, PASSWORD, "10.0.0.1", **{"X-Forwarded-For": HERE}) == 429
    assert try_to_log_in(alice.email, PASSWORD, "10.0.0.1", **{"X-Forwarded-For": f"{THERE}, {HERE}"}) == 429
    assert try_to_log_in(alice.email, PASSWORD, "10.0.0.1", **{"X-Forwarded-For": THERE}) == 302
    assert try_to_log_in(bob.email, PASSWORD, HERE, **{"X-Forwarded-For": THERE}) == 429, "not by whom anybody names"
    assert AuditEvent.objects.filter(action="user.logged_in").get().details["address"] == THERE


@pytest.mark.django_db(transaction=True)
def test_of_many_tries_at_the_same_moment_no_more_than_the_limit_go_through(alice: User) -> None:
    answers: list[int] = []
    together = threading.Barrier(24)

    def guess() -> None:
        together.wait()
        answers.append(try_to_log_in(alice.email, "wrong"))
        connection.close()

    threads = [threading.Thread(target=guess) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [422] * ACCOUNT_FROM_ONE_PLACE.free + [429] * (24 - ACCOUNT_FROM_ONE_PLACE.free)


def test_a_try_costs_the_same_however_many_have_failed(alice: User, clock: time_machine.Coordinates) -> None:
    fail(1, alice.email)
    with CaptureQueriesContext(connection) as few:
        fail(1, alice.email)
    old = AuditEvent.objects.filter(action=Action.USER_LOG_IN_FAILED)
    for _ in range(150):
        clock.shift(timedelta(minutes=16))
        fail(1, alice.email)
    assert old.count() == 152
    clock.shift(timedelta(minutes=16))
    with CaptureQueriesContext(connection) as many:
        fail(1, alice.email)
    assert len(many) <= len(few)
    assert not [query for query in many if "accessmgmt_auditevent" in query["sql"] and "SELECT" in query["sql"]]
    assert Tally.objects.count() <= 5


def test_counts_that_stand_for_nothing_any_more_are_thrown_away(alice: User) -> None:
    fail(2, alice.email)
    assert tallies.forget_old() == 0
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        assert tallies.forget_old() > 0
    assert not Tally.objects.exists()


def test_every_try_is_audited_without_the_password(alice: User) -> None:
    try_to_log_in(alice.email, "wrong-secret")
    try_to_log_in("nobody@company.com", "wrong-secret")
    try_to_log_in(alice.email, PASSWORD)
    events = AuditEvent.objects.order_by("id")
    assert [event.action for event in events] == ["user.log_in_failed", "user.log_in_failed", "user.logged_in"]
    assert [event.object_name for event in events[:2]] == [alice.email, "nobody@company.com"]
    assert "secret" not in str(list(events.values()))


def test_a_password_typed_into_the_wrong_box_is_not_kept(db: None) -> None:
    try_to_log_in("my-wonderful-secret-9", "x")
    assert "wonderful" not in str(list(AuditEvent.objects.values()) + list(Tally.objects.values()))
    assert AuditEvent.objects.get().object_name == sign_in.NO_ADDRESS


def test_a_storm_of_refused_tries_leaves_a_few_events(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(ACCOUNT_FROM_ONE_PLACE.free, alice.email)
    for _ in range(100):
        with pytest.raises(TooManyError):
            fail(1, alice.email)
    events = AuditEvent.objects.filter(action=Action.USER_LOG_IN_REFUSED).order_by("id")
    assert [event.details.get("times", 1) for event in events] == [1] * refusals.ONE_KIND.free + [16, 32, 64]
    monkeypatch.setattr(refusals, "ALL_STRANGERS", tallies.Limit("strangers", 20, timedelta(hours=1)))
    before = AuditEvent.objects.count()
    for number in range(120):
        fail(1, f"p{number}@company.com", f"198.51.100.{number}")
    assert AuditEvent.objects.count() - before < 30


@pytest.mark.parametrize("who", ["alice@company.com", "gone@company.com", "nobody@company.com", "no address", "ﬁ@x.y"])
def test_who_has_an_account_cannot_be_told_by_the_time_it_takes(
    alice: User, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("gone@company.com", is_active=False)
    hashed: list[str] = []
    hasher = type(get_hasher())
    encode: Callable[..., str] = hasher.encode
    monkeypatch.setattr(hasher, "encode", lambda *a, **kw: hashed.append("x") or encode(*a, **kw))
    assert try_to_log_in(who, "a wrong password") == 422
    assert len(hashed) == 1


def test_a_huge_password_is_not_even_looked_at(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_hasher()), "encode", lambda *a, **kw: pytest.fail("it was hashed"))
    assert try_to_log_in(alice.email, "x" * 100_000) == 422


def test_a_session_that_was_planted_is_not_the_one_after_signing_in(alice: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    assert try_to_log_in(alice.email, PASSWORD, client=client) == 302
    assert client.cookies["sessionid"].value != planted
    other = Client()
    other.cookies["sessionid"] = planted
    assert other.get("/").status_code == 302


def test_nobody_is_signed_in_by_another_site(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    assert try_to_log_in(alice.email, PASSWORD, client=client) == 403
    assert "sessionid" not in client.cookies
