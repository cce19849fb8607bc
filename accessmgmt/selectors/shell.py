"""Counts for the navigation."""

from __future__ import annotations

from accessmgmt.models import Grant, User
from accessmgmt.selectors.access import requests_to_decide


def shell_counts(user: User) -> dict[str, int]:
    """Return what the navigation shows beside its entries: requests to decide, and overdue endings for admins."""
    return {
        "requests_to_decide": requests_to_decide(user).count(),
        "overdue": Grant.objects.overdue().count() if user.is_auditor else 0,
    }
