"""Rows that stand for nothing any more: sessions that are over, counts of tries and looks of long ago."""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.utils import timezone

from accessmgmt.services import tallies
from accessmgmt.services.targets import looks


def throw_away_old() -> int:
    """Delete them; return how many."""
    sessions, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    return sessions + tallies.forget_old() + looks.forget_old()
