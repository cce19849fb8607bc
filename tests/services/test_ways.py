"""For whom a way is kept open: resources with live grants, and no others."""

from __future__ import annotations

import pytest

from accessmgmt.domain.targets import Target
from accessmgmt.services.targets import held_open
from tests import factories

pytestmark = pytest.mark.django_db


def test_only_resources_with_live_grants_are_held_open(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[Target]] = []
    monkeypatch.setattr(held_open.held_open, "keep_all_open", told.append)
    monkeypatch.setattr(held_open, "_looked_at", [float("-inf")])
    live = [factories.make_grant(state).resource for state in ("queued", "applying", "active", "ending")]
    factories.make_grant("ended")
    factories.make_grant("failed")
    factories.make_resource()
    assert held_open.keep_ways_open() == 4
    assert held_open.keep_ways_open() == 0, "not with every message"
    assert [target.resource_id for target in told[0]] == sorted(resource.pk for resource in live)
    assert len(told) == 1
