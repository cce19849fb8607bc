"""Accounts on the command line: the same rules and the same events as on the pages."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accessmgmt.models import AuditEvent, User
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
GOOD, WEAK = "seven-green-lanterns-hum", "aaaaaaaaaaaa"
Type = Callable[..., None]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Return a function that lets somebody sit at a terminal and type these answers."""

    def sit_down(*answers: str) -> None:
        left = list(answers)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(getpass, "getpass", lambda _: left.pop(0))
        monkeypatch.setattr("builtins.input", lambda _: left.pop(0))
        monkeypatch.setattr(getpass, "getuser", lambda: "olga")

    return sit_down


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_an_admin_is_made_and_recorded(typed: Type) -> None:
    typed("Root@Company.com", GOOD, GOOD)
    assert "root@company.com may sign in now" in run("createsuperuser", "--name", "Rita Root")
    user = User.objects.get()
    assert (user.email, user.name, user.role) == ("root@company.com", "Rita Root", "admin")
    assert Client().login(username="root@company.com", password=GOOD)
    event = AuditEvent.objects.get()
    assert (event.actor_email, event.action, event.object_name) == ("portal", "user.created", "Rita Root")
    assert event.details == {"role": "admin", "on_the_machine": "olga"}
    assert GOOD not in str(event.__dict__)


def test_an_admin_is_made_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "root@company.com")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", WEAK)
    with pytest.raises(CommandError, match="easy to guess"):
        run("createsuperuser", "--noinput")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", GOOD)
    run("createsuperuser", "--noinput")
    assert User.objects.get().is_admin
    with pytest.raises(CommandError, match="has an account already"):
        run("createsuperuser", "--noinput")
    monkeypatch.delenv("DJANGO_SUPERUSER_PASSWORD")
    with pytest.raises(CommandError, match="DJANGO_SUPERUSER_PASSWORD"):
        run("createsuperuser", "--noinput")
    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (("root@company.com", WEAK, WEAK), "easy to guess"),
        (("root@company.com", "short", "short"), "too short"),
        (("root@company.com", "root@company.com", "root@company.com"), "known of you"),
        (("root@company.com", GOOD, GOOD + "x"), "not the same"),
        (("root", GOOD, GOOD), "not an e-mail address"),
    ],
)
def test_what_no_page_takes_no_command_takes(typed: Type, answers: tuple[str, ...], reason: str) -> None:
    typed(*answers)
    with pytest.raises(CommandError, match=reason):
        run("createsuperuser")
    assert not User.objects.exists()


def test_a_new_password_ends_sessions_and_is_recorded(typed: Type, alice: User) -> None:
    client = Client()
    assert client.post("/login/", {"username": alice.email, "password": PASSWORD}).status_code == 302
    typed(GOOD, GOOD)
    assert "has a new password" in run("changepassword", "ALICE@company.com")
    assert client.get("/profile/").status_code == 302
    assert Client().login(username=alice.email, password=GOOD)
    event = AuditEvent.objects.get(action="user.password_reset")
    assert (event.actor_email, event.object_id) == ("portal", str(alice.pk))
    assert event.details == {"on_the_machine": "olga"}


@pytest.mark.parametrize("password", [WEAK, "alice developer", "short"])
def test_no_weak_password_is_given(typed: Type, alice: User, password: str) -> None:
    typed(password, password)
    with pytest.raises(CommandError, match="too weak"):
        run("changepassword", alice.email)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert not AuditEvent.objects.exists()


def test_somebody_unknown_and_a_missing_terminal_are_said(alice: User) -> None:
    with pytest.raises(CommandError, match="has no account"):
        run("changepassword", "nobody@company.com")
    with pytest.raises(CommandError, match="no terminal"):
        run("changepassword", alice.email)
