"""Durations as the guide writes them: "8h", "90m", "7d", "1h30m"."""

from __future__ import annotations

import re

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import find_unseen, spell_out, strip_unseen, unseen_error

SHORTEST_SECONDS = 60
_shortest_seconds = SHORTEST_SECONDS
LONGEST_SECONDS = 365 * 86_400
UNIT_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII)


def allow_shorter(seconds: int) -> None:
    """Let durations be shorter than a minute in this process, for trials such as `make smoke`."""
    global _shortest_seconds
    _shortest_seconds = max(1, seconds)


def parse_ttl(text: str) -> int:
    """Return the seconds of a duration such as "8h" or "1h30m".

    Units go from large to small (d, h, m, s), each at most once; white space around is ignored.
    Raises InvalidError when the text is no duration or lies outside 1 minute (see allow_shorter) to 365 days.
    """
    cleaned = strip_unseen(text).lower()
    if (place := find_unseen(cleaned, is_exact=True)) is not None:
        raise unseen_error("The duration", cleaned, place)
    match = DURATION.fullmatch(cleaned)
    if not cleaned or match is None:
        raise InvalidError(
            f"“{spell_out(text.strip(), most=40)}” is not a duration.",
            why="A duration is numbers with units d, h, m or s, from large to small.",
            todo='Write for example "8h", "90m", "7d" or "1h30m".',
        )
    seconds = sum(
        int(number) * UNIT_SECONDS[unit]
        for number, unit in zip(match.groups(), "dhms", strict=True)
        if number is not None
    )
    if not _shortest_seconds <= seconds <= LONGEST_SECONDS:
        raise InvalidError(
            f"“{spell_out(cleaned, most=40)}” is outside what is allowed.",
            why=f"A duration is at least {ttl_in_words(_shortest_seconds)} and at most 365 days.",
            todo='Write for example "8h".',
        )
    return seconds


def read_ttl(text: str) -> str:
    """Return a duration as it is stored and exported: as it was written, in lower case. Raises as parse_ttl does."""
    parse_ttl(text)
    return strip_unseen(text).lower()


def format_ttl(seconds: int) -> str:
    """Write seconds as the shortest text that parse_ttl reads back: 5400 becomes "1h30m"."""
    parts = []
    rest = seconds
    for unit, size in UNIT_SECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def ttl_in_words(seconds: int) -> str:
    """Write seconds for a sentence: 5400 becomes "1 hour 30 minutes"."""
    words = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
    parts = []
    rest = seconds
    for unit, size in UNIT_SECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {words[unit]}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
