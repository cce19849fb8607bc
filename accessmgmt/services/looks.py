"""Bounds how many requests of a web process wait for servers at the same time; the others are answered at once.

A web process has few threads. Without a bound a handful of connection tests at servers that drip would take all of
them, and nobody, health checks included, would get an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from accessmgmt.domain.errors import BusyError

MOST_AT_ONCE = 2

_places = threading.BoundedSemaphore(MOST_AT_ONCE)


@contextmanager
def few_at_once() -> Iterator[None]:
    """Let at most MOST_AT_ONCE threads of this process in; a decorator, too. Raises BusyError for the others."""
    if not _places.acquire(blocking=False):
        raise BusyError(
            "Other servers are being asked right now.",
            why=f"The portal waits for {MOST_AT_ONCE} at a time, and each may take half a minute.",
            todo="Try again in a moment. Nothing was changed.",
        )
    try:
        yield
    finally:
        _places.release()
