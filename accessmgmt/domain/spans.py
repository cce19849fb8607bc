"""Spans of time in words, as pages write and count them. tests/templatetags/spans.json has the cases of each rule.

static/js/spans.js says the same in the browser, where times go on; a test there reads the same cases.
"""

from __future__ import annotations

from accessmgmt.domain.ttl import ttl_in_words

MINUTE, HOUR, DAY = 60, 3_600, 86_400
UNITS = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))
NOW_SECONDS = 45  # nearer than this is "just now"
FAR_SECONDS = 30 * DAY  # from here on a date says more than a count


def relative_words(seconds: float) -> str | None:
    """Return "3 minutes ago" for -180.0, "in 2 hours" for 7200.0; None where a date says more."""
    size = abs(seconds)
    if size < NOW_SECONDS:
        return "just now" if seconds <= 0 else "in a moment"
    if size >= FAR_SECONDS:
        return None
    unit_seconds, unit = next((found for found in UNITS if size >= found[0]), UNITS[-1])
    count = max(1, int(size // unit_seconds))
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if seconds < 0 else f"in {words}"


def clock_words(seconds: float) -> str:
    """Return the time left as "2 d 03 h", "7:59:08" or "4:05"."""
    rest = max(0, int(seconds))
    days, rest = divmod(rest, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span_words(seconds: float) -> str:
    """Return how long something takes: "0.8 s", from a minute on "2 minutes 5 seconds"."""
    tenths = int(seconds * 10)  # cut, not rounded: what is counted up never shows 60.0 s
    return f"{tenths / 10:.1f} s" if seconds < MINUTE else ttl_in_words(int(seconds))
