"""The hash chain over the audit trail."""

from __future__ import annotations

import pytest
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
