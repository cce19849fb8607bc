"""The drift page: who sees it, what it shows, that a repair asks first and does only what was chosen."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftChange, DriftFinding, DriftKind, DriftReport, RepairReport, Severity
from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.models import DriftCheck, Installation, Resource, TargetLook
from accessmgmt.services.audit import trail
from accessmgmt.services.targets import drift
from accessmgmt.services.targets.drift_changes import record_changes
from tests.factories import make_resource
from tests.looks import do_waiting

ALARM = DriftFinding(
    DriftKind.ATTRIBUTE,
    Severity.ALARM,
    "jit_alice_0123456789",
    "It is valid until for ever, later than its grant.",
    sql="ALTER ROLE \"jit_alice_0123456789\" VALID UNTIL '2030-01-01';",
    role="jit_alice_0123456789",
    is_automatic=True,
)
ORPHAN = DriftFinding(
    DriftKind.ORPHAN, Severity.WARNING, "jit_bob_0123456789", "<b>Nobody's</b>", sql="DROP ROLE x;", role="jit_bob"
)
FOREIGN = DriftFinding(DriftKind.FOREIGN, Severity.ALARM, "jit_eve_0123456789", "Not ours.")
HTMX = {"HTTP_HX_REQUEST": "true"}


def url_of(resource: Resource, act: str = "") -> str:
    return reverse(f"accessmgmt:resource-drift{act}", args=[resource.pk])


def make_check(*findings: DriftFinding, **fields: Any) -> DriftCheck:
    values = {"checked_at": timezone.now(), "took_ms": 41.5, "findings": [f.as_json() for f in findings]}
    return DriftCheck.objects.create(resource=fields.pop("resource", None) or make_resource(), **{**values, **fields})


@pytest.fixture
def repaired(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace the network edge; return what was repaired."""
    seen: list[list[str]] = []

    def repair(target: Any, wanted: Any, findings: Any, **_: Any) -> RepairReport:
        seen.append([finding.key for finding in findings])
        return RepairReport(mended=tuple(findings), refused=((ORPHAN, "PostgreSQL answers 42501."),))

    def check(target: Any, wanted: Any, **_: Any) -> DriftReport:
        return DriftReport((FOREIGN,), relation_count=2, login_count=1, took_ms=12.0, checked_at=timezone.now())

    monkeypatch.setattr(drift.repair, "repair", repair)
    monkeypatch.setattr(drift.resync, "check_drift", check)
    return seen


def test_an_auditor_reads_and_has_nothing_to_press(client_for, erin):
    page = client_for(erin).get(url_of(make_check(ALARM).resource))
    assert page.status_code == 200
    assert b"Check now" not in page.content
    assert b'type="checkbox"' not in page.content


def test_unknown_resource_is_404(client_for, dave):
    assert client_for(dave).get(reverse("accessmgmt:resource-drift", args=[0])).status_code == 404


def test_the_page_shows_the_findings_by_kind_with_their_sql(client_for, dave):
    resource = make_check(ALARM, ORPHAN, FOREIGN).resource
    text = client_for(dave).get(url_of(resource)).content.decode()
    for words in ("Attributes of roles", "Roles with the portal", "not provably", "42 ms", "VALID UNTIL"):
        assert words in text
    assert "&lt;b&gt;Nobody" in text
    assert text.count('type="checkbox"') == 2, "what is not ours cannot be chosen"
    assert text.count(" checked>") == 1, "an orphan is chosen by a person only"
    assert f'data-copy="#sql-{ALARM.reference}"' in text


def test_empty_states_and_a_target_out_of_reach(client_for, dave, erin):
    assert "Not checked yet" in client_for(erin).get(url_of(make_resource())).content.decode()
    check = make_check()
    assert "Nothing differs" in client_for(erin).get(url_of(check.resource)).content.decode()
    check.error = {"what": "Out of reach.", "why": "No route.", "todo": "Look.", "sqlstate": ""}
    check.save()
    assert "No route." in client_for(dave).get(url_of(check.resource)).content.decode()
    check.took_ms = 0
    check.save()
    assert "Not checked yet" not in client_for(dave).get(url_of(check.resource)).content.decode(), "it was tried"


def test_check_now_shows_what_was_found(client_for, dave, repaired):
    resource = make_check().resource
    client = client_for(dave)
    page = client.post(url_of(resource, "-check"), **HTMX).content.decode()
    assert "<html" not in page
    assert "Waiting for a worker" in page
    assert client.post(url_of(resource, "-check")).headers["Location"] == url_of(resource)
    [look] = TargetLook.objects.all()
    progress = reverse("accessmgmt:look-progress", args=[look.pk])
    assert "Waiting for a worker" in client.get(progress, **HTMX).content.decode()
    do_waiting()
    over = client.get(progress, **HTMX)
    assert over["HX-Retarget"] == "#drift"
    text = over.content.decode()
    assert text.strip().startswith('<div id="drift"')
    for words in ("Not ours.", "1 difference found", f"when {dave} asked"):
        assert words in text
    assert "hx-trigger" not in text
    assert "1 difference found" in client.get(url_of(resource)).content.decode()


def test_check_now_of_a_target_out_of_reach(client_for, dave, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise TargetUnavailable("The server does not answer.", why="Timeout.")

    monkeypatch.setattr(drift.resync, "check_drift", fail)
    resource = make_resource()
    client_for(dave).post(url_of(resource, "-check"), **HTMX)
    do_waiting()
    text = client_for(dave).get(url_of(resource)).content.decode()
    assert text.count("The server does not answer.") == 1


def test_a_repair_asks_first_and_does_only_what_was_chosen(client_for, dave, repaired):
    resource = make_check(ALARM, ORPHAN, FOREIGN).resource
    client = client_for(dave)
    chosen = {"finding": [ALARM.reference, FOREIGN.reference]}
    page = client.post(url_of(resource, "-repair"), chosen)
    text = page.content.decode()
    assert page.status_code == 200
    assert "VALID UNTIL" in text
    assert "DROP ROLE" not in text
    assert FOREIGN.reference not in text, "what is not ours is not offered, whoever asks"
    assert repaired == []
    page = client.post(url_of(resource, "-repair"), {**chosen, "confirmed": "yes"}, follow=True)
    assert "Waiting for a worker" in page.content.decode()
    assert repaired == [], "the web mends nothing"
    do_waiting()
    assert repaired == [[ALARM.key]]
    done = client.get(url_of(resource))
    text = done.content.decode()
    assert "1 of 1 differences are mended" in text
    assert "42501" in text


@pytest.mark.parametrize("chosen", [[], ["0" * 20], [FOREIGN.reference]])
def test_nothing_chosen_does_nothing(client_for, dave, repaired, chosen):
    resource = make_check(ALARM, FOREIGN).resource
    page = client_for(dave).post(url_of(resource, "-repair"), {"finding": chosen, "confirmed": "yes"}, follow=True)
    assert "Nothing was chosen" in page.content.decode()
    assert not do_waiting()
    assert repaired == []


def test_the_page_asks_the_same_number_of_queries_for_many_findings(client_for, dave):
    client = client_for(dave)
    counts = []
    for number in (1, 200):
        many = [DriftFinding(DriftKind.PRIVILEGE, Severity.WARNING, f"t{n}", "It lacks.") for n in range(number)]
        resource = make_check(*many).resource
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(url_of(resource)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_page_says_what_happens_by_itself_and_what_waits(client_for, dave):
    resource = make_check(ALARM).resource
    text = client_for(dave).get(url_of(resource)).content.decode()
    assert "By itself, every 30 seconds" in text
    assert "until an admin chooses Repair" in text
    resource.is_drift_repaired = True
    resource.save()
    text = client_for(dave).get(url_of(resource)).content.decode()
    assert "because this resource says so" in text
    assert "until an admin chooses Repair" not in text
    Installation.objects.update_or_create(
        pk=1, defaults={"database_identity": "other", "observing_since": timezone.now()}
    )
    text = client_for(dave).get(url_of(resource)).content.decode()
    assert "only observes" in text
    assert "By itself, every 30 seconds" not in text


def test_the_page_shows_what_was_put_in_order_and_when(client_for, dave, erin):
    resource = make_check().resource
    changes = [DriftChange("jitb_x", f"internal.t{number}", "revoked SELECT", is_taken=True) for number in range(7)]
    record_changes(resource, changes)
    trail.record(dave, Action.RESOURCE_DRIFT_REPAIRED, resource, mended=["one: <i>x</i>"], refused=["two: 42501"])
    record_changes(make_resource(), [DriftChange("jitb_y", "elsewhere", "revoked SELECT", is_taken=True)])
    text = client_for(erin).get(url_of(resource)).content.decode()
    assert all(str(change) in text for change in changes[:5])
    assert str(changes[5]) not in text
    assert "and 2 more" in text
    assert "by the portal itself" in text
    assert f"by {dave.email}" in text
    assert "&lt;i&gt;x" in text
    assert "not mended: two: 42501" in text
    assert "elsewhere" not in text


def test_what_only_a_dba_may_do_is_not_offered(client_for, dave):
    finding = DriftFinding(
        DriftKind.PRIVILEGE, Severity.ALARM, "pg_catalog.pg_authid", "It holds.", sql="REVOKE x;", is_for_dba=True
    )
    resource = make_check(finding).resource
    text = client_for(dave).get(url_of(resource)).content.decode()
    assert "The portal may not change this" in text
    assert 'type="checkbox"' not in text
    chosen = {"finding": finding.reference, "confirmed": "yes"}
    page = client_for(dave).post(url_of(resource, "-repair"), chosen, follow=True)
    assert "Nothing was chosen" in page.content.decode()
