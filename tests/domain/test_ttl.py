"""Durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.ttl import (
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    allow_shorter,
    format_ttl,
    parse_ttl,
    read_ttl,
    ttl_in_words,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("8h", 28_800),
        ("90m", 5_400),
        ("7d", 604_800),
        ("1h30m", 5_400),
        (" 12H ", 43_200),
        ("60s", 60),
        ("365d", LONGEST_SECONDS),
    ],
)
def test_the_guides_durations(text: str, seconds: int) -> None:
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "8x", "8", "h", "30m1h", "59s", "366d", "-1h", "1.5h", "8h 30m", "٨h", "1h1h", "9" * 99 + "d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_ttl(text)
    assert caught.value.todo


@given(st.integers(SHORTEST_SECONDS, LONGEST_SECONDS))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_ttl(format_ttl(seconds)) == seconds


def test_in_words() -> None:
    assert ttl_in_words(5_400) == "1 hour 30 minutes"
    assert ttl_in_words(86_400) == "1 day"
    assert ttl_in_words(0) == "0 seconds"


def test_what_is_stored_is_what_was_written_in_lower_case_and_only_a_duration() -> None:
    assert read_ttl(" 90M ") == "90m"
    with pytest.raises(InvalidError):
        read_ttl("soon")


def test_trials_may_allow_less_than_a_minute() -> None:
    try:
        allow_shorter(5)
        assert parse_ttl("5s") == 5
        with pytest.raises(InvalidError, match="5 seconds"):
            parse_ttl("4s")
    finally:
        allow_shorter(SHORTEST_SECONDS)
