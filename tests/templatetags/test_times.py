"""Instants and spans on pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from accessmgmt.domain import spans
from accessmgmt.templatetags import times

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CASES: dict[str, list[list[Any]]] = json.loads((Path(__file__).parent / "spans.json").read_text())


@pytest.mark.parametrize(
    ("rule", "seconds", "words"), [(rule, *case) for rule, cases in CASES.items() for case in cases]
)
def test_spans_are_said_as_the_table_has_them(rule: str, seconds: float, words: str | None) -> None:
    assert getattr(spans, rule)(seconds) == words


@time_machine.travel(NOW, tick=False)
def test_an_instant_is_relative_nearby_and_a_date_far_away() -> None:
    assert ">3 minutes ago</time>" in times.instant(NOW - timedelta(minutes=3))
    assert ">01 Apr 2026</time>" in times.instant(NOW + timedelta(days=31))


def test_instant_names_the_zone_and_utc() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        html = times.instant(NOW)
    assert "13:00:00 Europe/Berlin (01 Mar 12:00:00 UTC)" in html
    assert 'datetime="2026-03-01T12:00:00+00:00"' in html


def test_nothing_instead_of_an_instant_is_a_dash() -> None:
    assert "—" in times.instant(None)
    assert "—" in times.instant("no date")


@time_machine.travel(NOW, tick=False)
def test_countdown_is_near_when_it_warns() -> None:
    assert "is-near" in times.countdown(NOW + timedelta(minutes=1), NOW - timedelta(minutes=1))
    assert "is-near" not in times.countdown(NOW + timedelta(hours=1), NOW + timedelta(minutes=50))
