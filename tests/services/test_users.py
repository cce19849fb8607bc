"""People's accounts: the last admin stays, and sessions end with what they stood for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accessmgmt.domain.errors import AccessError, ForbiddenError
from accessmgmt.models import User
from accessmgmt.services.people import users
from devstack.process import wait_until
from tests.factories import PASSWORD, make_user

Act = Callable[[], object]
Demotion = Callable[[User, User], object]


def signed_in(user: User) -> Client:
    client = Client()
    assert client.post("/login/", {"username": user.email, "password": PASSWORD}).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get("/profile/").status_code == 200


def one_while_the_other_is_not_committed(first: Act, second: Act) -> BaseException | None:
    """Do the second while the first is done but not committed yet; return what the second raised once both are over."""
    is_done, may_commit = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def begin() -> None:
        with transaction.atomic():
            first()
            is_done.set()
            may_commit.wait(60)
        connection.close()

    def follow() -> None:
        try:
            second()
        except (AccessError, IntegrityError) as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=begin), threading.Thread(target=follow)]
    threads[0].start()
    assert is_done.wait(60)
    threads[1].start()
    try:
        wait_until(lambda: somebody_waits() or not threads[1].is_alive(), timeout=60, what="the second waits")
    finally:
        may_commit.set()
        for thread in threads:
            thread.join()
    return raised[0] if raised else None


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def demote(actor: User, user: User) -> None:
    users.change_user(actor=actor, user=user, name=user.name, role=User.Role.MEMBER, is_active=True)


def suspend(actor: User, user: User) -> None:
    users.change_user(actor=actor, user=user, name=user.name, role=User.Role.ADMIN, is_active=False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [demote, suspend])
def test_two_admins_cannot_take_each_other_away_at_the_same_moment(dave: User, act: Demotion) -> None:
    other = make_user("olga@company.com", role=User.Role.ADMIN)
    refused = one_while_the_other_is_not_committed(lambda: act(dave, other), lambda: act(other, dave))
    assert isinstance(refused, ForbiddenError)
    assert [user.email for user in User.objects.filter(role="admin", is_active=True)] == [dave.email]


def update_role(_: User, user: User) -> None:
    User.objects.filter(pk=user.pk).update(role=User.Role.MEMBER)


def update_state(_: User, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete(_: User, user: User) -> None:
    User.objects.filter(pk=user.pk).delete()


BESIDE_THE_SERVICE = pytest.mark.parametrize("act", [update_role, update_state, delete])


@BESIDE_THE_SERVICE
@pytest.mark.django_db
def test_the_database_keeps_the_last_admin(dave: User, alice: User, act: Demotion) -> None:
    make_user("gone@company.com", role=User.Role.ADMIN, is_active=False)
    with pytest.raises(IntegrityError, match="the last active admin"), transaction.atomic():
        act(dave, dave)
    other = make_user("olga@company.com", role=User.Role.ADMIN)
    act(dave, other)
    act(dave, alice)
    assert User.objects.filter(role="admin", is_active=True).get() == dave


@BESIDE_THE_SERVICE
@pytest.mark.django_db(transaction=True)
def test_the_database_keeps_the_last_of_two_admins_who_go_at_the_same_moment(dave: User, act: Demotion) -> None:
    other = make_user("olga@company.com", role=User.Role.ADMIN)
    refused = one_while_the_other_is_not_committed(lambda: act(dave, other), lambda: act(other, dave))
    assert isinstance(refused, IntegrityError)
    assert User.objects.filter(role="admin", is_active=True).count() == 1


@pytest.mark.django_db
def test_an_admin_who_is_none_any_more_changes_nobody(dave: User, alice: User) -> None:
    other = make_user("olga@company.com", role=User.Role.ADMIN)
    demote(other, dave)
    assert dave.is_admin, "what the request has read before"
    with pytest.raises(ForbiddenError):
        users.change_user(actor=dave, user=alice, name="", role=User.Role.ADMIN, is_active=True)


@pytest.mark.django_db
def test_a_session_from_before_the_suspension_is_dead_for_good(dave: User, alice: User) -> None:
    client = signed_in(alice)
    users.change_user(actor=dave, user=alice, name="", role=alice.role, is_active=False)
    assert not is_in(client)
    users.change_user(actor=dave, user=alice, name="", role=alice.role, is_active=True)
    assert not is_in(client)
    assert is_in(signed_in(alice))


@pytest.mark.django_db
def test_a_session_that_nobody_used_meanwhile_is_dead_as_well(dave: User, alice: User) -> None:
    client = signed_in(alice)
    for is_active in (False, True):
        users.change_user(actor=dave, user=alice, name="", role=alice.role, is_active=is_active)
    assert not is_in(client)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "after", "lives"),
    [
        ("admin", "auditor", False),
        ("admin", "member", False),
        ("auditor", "member", False),
        ("member", "auditor", True),
        ("member", "admin", True),
        ("auditor", "auditor", True),
    ],
)
def test_a_session_ends_with_the_power_it_had(dave: User, before: str, after: str, lives: bool) -> None:
    person = make_user(role=before)
    client = signed_in(person)
    users.change_user(actor=dave, user=person, name="New name", role=after, is_active=True)
    assert is_in(client) is lives


@pytest.mark.django_db
def test_changing_ones_password_keeps_the_browser_it_was_changed_in_alone(alice: User) -> None:
    here, elsewhere = signed_in(alice), signed_in(alice)
    key = here.session.session_key
    new = "seven-green-lanterns-hum"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new, "change_password": "1"}
    assert here.post("/profile/", data).status_code == 302
    assert is_in(here)
    assert not is_in(elsewhere)
    assert here.session.session_key != key
