"""The audit trail's proofs: authentic events, none missing, a chain that holds, checkpoints kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accessmgmt.domain.actions import Action
from accessmgmt.models import AuditEvent, AuditSeal, AuditSlot, User
from accessmgmt.services.audit import trail
from accessmgmt.services.audit.seal import chain_head, find_tampering, seal_events

pytestmark = pytest.mark.django_db

TABLES = ("accessmgmt_auditevent", "accessmgmt_auditseal", "accessmgmt_auditslot")


def run(text: str) -> None:
    """Act as the owner of the tables, whom triggers do not stop."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(text)


def make_events(actor: User, count: int) -> None:
    """Record some events, in transactions of their own as far as the trail can tell."""
    for number in range(count):
        trail.record(actor, Action.USER_PROFILE_CHANGED, actor, number=number)


@pytest.fixture
def some_events(alice: User) -> None:
    """Six sealed events and two that are not sealed yet."""
    make_events(alice, 6)
    seal_events()
    make_events(alice, 2)


def test_the_chain_holds_and_is_sealed_once(alice: User) -> None:
    make_events(alice, 5)
    assert seal_events() == 5
    assert seal_events() == 0
    assert find_tampering() == []
    assert list(AuditSeal.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4, 5]


def test_events_that_are_recorded_together_are_numbered_one_by_one(alice: User, bob: User) -> None:
    trail.record_many(
        None, Action.USER_PROFILE_CHANGED, [(alice, {"n": 1}), (bob, {"n": 2.5}), (alice, {"n": [1, {"x": "é"}]})]
    )
    trail.record_many(None, Action.USER_PROFILE_CHANGED, [])
    assert list(AuditEvent.objects.order_by("id").values_list("slot", "number")) == [(0, 1), (0, 2), (0, 3)]
    assert find_tampering() == []


COPY = (
    "INSERT INTO accessmgmt_auditevent"
    " (at, actor_id, actor_email, action, object_type, object_id, object_name, details, slot, number, mac)"
    " SELECT at, actor_id, actor_email, {action}, object_type, object_id, object_name, details, slot, 9, mac"
    " FROM accessmgmt_auditevent ORDER BY id DESC LIMIT 1"
)
TAMPERING = {
    "a sealed event is changed": "UPDATE accessmgmt_auditevent SET details = '{}' WHERE number = 3",
    "an event that is not sealed yet is changed": (
        "UPDATE accessmgmt_auditevent SET actor_email = 'carol@company.com' WHERE number = 8"
    ),
    "a sealed event is removed": (
        "DELETE FROM accessmgmt_auditseal WHERE sequence = 3; DELETE FROM accessmgmt_auditevent WHERE number = 3"
    ),
    "an event that is not sealed yet is removed": "DELETE FROM accessmgmt_auditevent WHERE number = 8",
    "one is removed, and its counter set back": (
        "DELETE FROM accessmgmt_auditevent WHERE number = 8; UPDATE accessmgmt_auditslot SET count = 7 WHERE id = 0"
    ),
    "one is removed, and its counter with it": (
        "DELETE FROM accessmgmt_auditevent WHERE number = 8; DELETE FROM accessmgmt_auditslot WHERE id = 0"
    ),
    "the end is cut off": (
        "DELETE FROM accessmgmt_auditseal WHERE sequence > 4; DELETE FROM accessmgmt_auditevent WHERE number > 4"
    ),
    "all events are removed": "DELETE FROM accessmgmt_auditseal; DELETE FROM accessmgmt_auditevent",
    "all of it is removed": (
        "DELETE FROM accessmgmt_auditseal; DELETE FROM accessmgmt_auditevent; DELETE FROM accessmgmt_auditslot"
    ),
    "an event is added": COPY.format(action="'user.created'"),
    "an event is told twice": COPY.format(action="action"),
    "what two events say changes places": (
        "UPDATE accessmgmt_auditevent e SET details = o.details FROM accessmgmt_auditevent o"
        " WHERE (e.number, o.number) IN ((2, 3), (3, 2))"
    ),
    "a seal is made without the key": (
        "UPDATE accessmgmt_auditseal SET hash = encode(sha256(hash::bytea), 'hex') WHERE sequence = 6"
    ),
    "a seal in the middle is removed": "DELETE FROM accessmgmt_auditseal WHERE sequence = 3",
}


@pytest.mark.parametrize("text", TAMPERING.values(), ids=TAMPERING)
@pytest.mark.usefixtures("some_events")
def test_tampering_is_found(text: str) -> None:
    assert find_tampering() == []
    run(text)
    assert find_tampering()
    with pytest.raises(CommandError, match="does not hold"):
        call_command("verify_audit")


@pytest.mark.usefixtures("some_events")
def test_an_event_that_was_added_is_found_after_it_was_sealed_too() -> None:
    run(COPY.format(action="'user.created'"))
    assert seal_events() == 3
    assert any("was not written by the portal" in words for words in find_tampering())


def test_a_trail_without_any_event_holds_before_the_first_account() -> None:
    assert find_tampering() == []


@pytest.fixture
def checkpoints(tmp_path: Path, settings: object) -> Path:
    """A file outside the database that heads are noted in."""
    path = tmp_path / "checkpoints"
    settings.PORTAL_AUDIT_CHECKPOINTS = str(path)  # type: ignore[attr-defined]
    return path


def seal_and_note(capture: Callable[..., object]) -> None:
    """Seal, with what happens after the commit."""
    with capture(execute=True):  # type: ignore[attr-defined]
        seal_events()


def test_a_trail_that_was_taken_back_to_an_earlier_state_is_found_by_its_checkpoints(
    alice: User, checkpoints: Path, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    make_events(alice, 2)
    seal_and_note(django_capture_on_commit_callbacks)
    earlier = AuditSlot.objects.get(pk=0)
    make_events(alice, 2)
    seal_and_note(django_capture_on_commit_callbacks)
    assert find_tampering() == []
    assert oct(checkpoints.stat().st_mode & 0o777) == "0o600"
    run("DELETE FROM accessmgmt_auditseal WHERE sequence > 2")
    run("DELETE FROM accessmgmt_auditevent WHERE number > 2")
    earlier.save()  # whoever kept a copy of the counter, authentic as it was then
    assert find_tampering() == ["Seal 4 is missing: the end of the chain was cut off."]


def test_a_file_of_checkpoints_that_was_changed_or_removed_is_found(
    alice: User, checkpoints: Path, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    make_events(alice, 1)
    seal_and_note(django_capture_on_commit_callbacks)
    line = checkpoints.read_text()
    checkpoints.write_text(line.replace('"sequence": 1', '"sequence": 0') + "nothing\n")
    assert len(find_tampering()) == 2
    checkpoints.unlink()
    assert find_tampering() == ["The file of checkpoints, checkpoints, is missing."]


def test_a_file_that_cannot_be_written_stops_no_sealing(
    alice: User, settings: object, tmp_path: Path, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    settings.PORTAL_AUDIT_CHECKPOINTS = str(tmp_path / "missing" / "file")  # type: ignore[attr-defined]
    make_events(alice, 1)
    seal_and_note(django_capture_on_commit_callbacks)
    assert AuditSeal.objects.count() == 1


def test_the_command_says_whether_the_chain_holds(alice: User) -> None:
    make_events(alice, 3)
    seal_events()
    sequence, digest = chain_head()
    call_command("verify_audit", head=f"{sequence}:{digest}")
    with pytest.raises(CommandError, match="cut off"):
        call_command("verify_audit", head=f"{sequence + 1}:{digest}")
    with pytest.raises(CommandError, match="another"):
        call_command("verify_audit", head=f"{sequence}:{'0' * 64}")


def test_who_writes_the_tables_cannot_make_a_chain_that_holds(alice: User, settings: object) -> None:
    trail.record(alice, Action.USER_PROFILE_CHANGED, alice)
    real = settings.PORTAL_AUDIT_KEY  # type: ignore[attr-defined]
    settings.PORTAL_AUDIT_KEY = "what somebody without the key would use"  # type: ignore[attr-defined]
    seal_events()
    settings.PORTAL_AUDIT_KEY = real  # type: ignore[attr-defined]
    assert find_tampering() == ["The chain does not hold at seal 1."]
