"""What stands for nothing any more is thrown away, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accessmgmt.models import Tally, User
from accessmgmt.services.housekeeping import throw_away_old
from accessmgmt.services.people import sign_in


@pytest.mark.django_db
def test_sessions_that_are_over_and_old_counts_go(alice: User) -> None:
    with time_machine.travel(timezone.now() - timedelta(days=3)):
        Client().force_login(alice)
        sign_in.sign_in(email=alice.email, password="wrong", caller=sign_in.Caller("192.0.2.1"))
    old = set(Tally.objects.values_list("pk", flat=True))
    client = Client()
    client.force_login(alice)
    sign_in.sign_in(email="new@company.com", password="wrong", caller=sign_in.Caller("192.0.2.9"))
    lately = set(Tally.objects.filter(forget_at__gt=timezone.now()).values_list("pk", flat=True))
    assert old - lately
    assert throw_away_old() == 1 + len(old - lately)
    assert set(Tally.objects.values_list("pk", flat=True)) == lately
    assert Session.objects.get().session_key == client.session.session_key
