"""Keeps a way open to every server with live grants, for endings that would not be let in any more."""

from __future__ import annotations

import time

from django.db.models import Exists, OuterRef

from accessmgmt.models import Grant, Resource
from accessmgmt.provisioning.connect import held_open

LOOK_EVERY_SECONDS = 15.0
_looked_at = [float("-inf")]


def keep_ways_open() -> int:
    """Hold a connection of this process open to each resource with live grants; return to how many, 0 when it is early.

    For processes that end grants: woken in their own queue, so that it comes to all of them now and then.
    """
    now = time.monotonic()
    if now - _looked_at[0] < LOOK_EVERY_SECONDS:
        return 0
    _looked_at[0] = now
    live = Resource.objects.filter(Exists(Grant.objects.live().filter(resource=OuterRef("pk"))))
    targets = [resource.as_target() for resource in live.select_related("primary", "primary__primary").order_by("pk")]
    held_open.keep_all_open(targets)
    return len(targets)
