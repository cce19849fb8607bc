"""Signing in, and guessing."""

from __future__ import annotations

import pytest
from django.test import Client

from accessmgmt.models import AuditEvent, User
from accessmgmt.services.sign_in import MOST_FAILURES_OF_ONE_ADDRESS
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


def try_to_log_in(email: str, password: str, address: str = "192.0.2.1") -> int:
    form = {"username": email, "password": password}
    return Client().post("/login/", form, REMOTE_ADDR=address).status_code


def test_guessing_is_stopped_before_the_right_password_is_found(alice: User, bob: User) -> None:
    for _ in range(MOST_FAILURES_OF_ONE_ADDRESS):
        assert try_to_log_in(alice.email, "wrong") == 422
    assert try_to_log_in(alice.email, PASSWORD) == 429
    assert try_to_log_in(alice.email.upper(), PASSWORD) == 429
    assert try_to_log_in(alice.email, PASSWORD, address="192.0.2.2") == 302, "another place is not locked out yet"
    assert try_to_log_in(bob.email, PASSWORD) == 302


def test_every_try_is_audited_without_the_password(alice: User) -> None:
    try_to_log_in(alice.email, "wrong-secret")
    try_to_log_in("nobody@company.com", "wrong-secret")
    try_to_log_in(alice.email, PASSWORD)
    events = AuditEvent.objects.order_by("id")
    assert [event.action for event in events] == ["user.log_in_failed", "user.log_in_failed", "user.logged_in"]
    assert [event.object_name for event in events[:2]] == [alice.email, "nobody@company.com"]
    assert "secret" not in str(list(events.values()))
