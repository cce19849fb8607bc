"""The hash chain over the audit trail."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accessmgmt.models import AuditSeal, User
from accessmgmt.services import audit

pytestmark = pytest.mark.django_db


def test_the_chain_holds_and_is_sealed_once(alice: User) -> None:
    for number in range(5):
        audit.record(alice, "test.made", alice, number=number)
    assert audit.seal_events() == 5
    assert audit.seal_events() == 0
    assert audit.broken_seals() == []
    assert list(AuditSeal.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4, 5]


def test_a_changed_event_breaks_its_seal(alice: User) -> None:
    for number in range(3):
        audit.record(alice, "test.made", alice, number=number)
    audit.seal_events()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accessmgmt_auditevent DISABLE TRIGGER accessmgmt_auditevent_append_only")
        cursor.execute(
            "UPDATE accessmgmt_auditevent SET details = '{}' WHERE id = (SELECT min(id) FROM accessmgmt_auditevent)"
        )
    assert audit.broken_seals() == [1]


def test_the_command_says_whether_the_chain_holds(alice: User) -> None:
    for number in range(3):
        audit.record(alice, "test.made", alice, number=number)
    audit.seal_events()
    sequence, digest = audit.chain_head()
    call_command("verify_audit", head=f"{sequence}:{digest}")
    with pytest.raises(CommandError, match="cut off"):
        call_command("verify_audit", head=f"{sequence + 1}:{digest}")
    with pytest.raises(CommandError, match="another"):
        call_command("verify_audit", head=f"{sequence}:{'0' * 64}")


def test_who_writes_the_tables_cannot_make_a_chain_that_holds(alice: User, settings: object) -> None:
    audit.record(alice, "test.made", alice)
    settings.PORTAL_AUDIT_KEY = "what somebody without the key would use"  # type: ignore[attr-defined]
    audit.seal_events()
    assert audit.broken_seals() == []
    settings.PORTAL_AUDIT_KEY = "the real one"  # type: ignore[attr-defined]
    assert audit.broken_seals() == [1]
    with pytest.raises(CommandError, match="does not hold"):
        call_command("verify_audit")
