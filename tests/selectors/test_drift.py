"""What the newest drift check says of one grant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accessmgmt.domain.drift import DriftFinding, DriftKind, Severity
from accessmgmt.models import DriftCheck, Grant, User
from accessmgmt.selectors.oversight.drift import Comparison, last_comparison
from tests.factories import make_grant

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant() -> Grant:
    return make_grant()


def check(grant: Grant, *findings: DriftFinding, minutes: int = 1, **fields: Any) -> DriftCheck:
    assert grant.active_at
    values = {"checked_at": grant.active_at + timedelta(minutes=minutes), "took_ms": 41.5}
    stored = [finding.as_json() for finding in findings]
    return DriftCheck.objects.create(resource=grant.resource, findings=stored, **{**values, **fields})


def differs(role: str, severity: Severity = Severity.ALARM) -> DriftFinding:
    return DriftFinding(DriftKind.PRIVILEGE, severity, "public.orders", "It holds more.", role=role)


def test_before_the_first_check_nothing_is_claimed(grant: Grant) -> None:
    assert last_comparison(grant) == Comparison(None, 0, is_out_of_reach=False)


def test_a_check_from_before_the_grant_says_nothing_of_it(grant: Grant) -> None:
    check(grant, minutes=-1)
    assert last_comparison(grant).at is None


def test_a_look_that_failed_is_no_look(grant: Grant) -> None:
    check(grant, took_ms=0.0, error={"what": "away"})
    assert last_comparison(grant) == Comparison(None, 0, is_out_of_reach=True)


def test_only_what_concerns_the_login_or_its_capability_role_counts(grant: Grant) -> None:
    capability = grant.permission_set.capability_role_name(settings.PORTAL_INSTALLATION_ID)
    others = (differs("jitb_of_others"), differs("jit_bob_x"), differs(capability, Severity.NOTE))
    found = check(grant, differs(grant.role_name), differs(capability), *others)
    assert last_comparison(grant) == Comparison(found.checked_at, 2, is_out_of_reach=False)


def test_the_page_says_it_in_words(client_for: Any, alice: User, erin: User) -> None:
    grant = make_grant(user=alice)
    page = f"/grants/{grant.pk}"
    assert "that happens every five minutes" in client_for(alice).get(page).content.decode()
    found = check(grant, checked_at=timezone.now())
    assert "nothing differed." in client_for(alice).get(page).content.decode()
    found.findings = [differs(grant.role_name).as_json()]
    found.error = {"what": "away"}
    found.save(update_fields=["findings", "error"])
    text = client_for(alice).get(page).content.decode()
    assert "1 difference</span>." in text
    assert "The last try did not reach the server." in text
    assert "see them" not in text
    assert f"/resources/{grant.resource_id}/drift" in client_for(erin).get(page).content.decode()
