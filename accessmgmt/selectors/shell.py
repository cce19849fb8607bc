"""Counts for the navigation."""

from __future__ import annotations

from typing import Any

from accessmgmt.models import Grant, Installation, User
from accessmgmt.policy.people import is_auditor
from accessmgmt.selectors.access.own import requests_to_decide


def shell_counts(user: User) -> dict[str, Any]:
    """Return what every page shows: requests to decide, overdue endings for auditors, whether the portal observes."""
    return {
        "requests_to_decide": requests_to_decide(user).count(),
        "observing": Installation.objects.filter(observing_since__isnull=False).first(),
        "overdue": Grant.objects.overdue().count() if is_auditor(user) else 0,
    }
