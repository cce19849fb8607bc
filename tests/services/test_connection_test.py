"""The connection test of a stored resource rehearses what its endpoints give."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accessmgmt.domain.names import Installation
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import Rung, RungState, Target
from accessmgmt.models import AuditEvent, User
from accessmgmt.provisioning.check import ladder
from accessmgmt.services.targets import connection_test
from tests import factories

pytestmark = pytest.mark.django_db


def test_each_set_of_the_endpoints_is_handed_over_once(monkeypatch: pytest.MonkeyPatch, dave: User) -> None:
    handed_over: list[PermissionSet] = []

    def climb(target: Target, permission_sets: list[PermissionSet], _ours: Installation, **_: object) -> Iterator[Rung]:
        handed_over.extend(permission_sets)
        yield Rung("Rehearsal", RungState.PASSED, f"for {target.name}")

    monkeypatch.setattr(ladder, "test_connection", climb)
    first = factories.make_endpoint()
    factories.make_endpoint(resource=first.resource, authorization=first.authorization)
    factories.make_endpoint()
    connection_test.test_connection(actor=dave, resource=first.resource)
    assert handed_over == [first.authorization.permission_set]
    assert AuditEvent.objects.get(action="resource.tested").details["rungs"] == {"Rehearsal": "passed"}
