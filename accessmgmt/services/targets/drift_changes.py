"""Writes down what the portal changed by itself on capability roles: whoever looks later sees what, where and when."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftChange
from accessmgmt.models import Resource
from accessmgmt.services.audit import trail

MOST_TOLD = 50
MOST_SHARED = 20


def record_changes(resource: Resource, changes: Sequence[DriftChange]) -> None:
    """Audit what was taken back one by one, and what was given in short: most of that is new tables of a pattern."""
    taken = [str(change) for change in changes if change.is_taken]
    given = [str(change) for change in changes if not change.is_taken]
    if not changes:
        return
    with transaction.atomic():
        if taken:
            details = {"mended": taken[:MOST_TOLD], "mended_count": len(taken), "refused": [], "refused_count": 0}
            trail.record(None, Action.RESOURCE_DRIFT_REPAIRED, resource, **details)
        if given:
            trail.record(
                None, Action.RESOURCE_OBJECTS_SHARED, resource, given=given[:MOST_SHARED], given_count=len(given)
            )
