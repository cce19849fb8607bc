"""How much a run tries, and limits that stop a run-away: a test that would never end fails and says where it was.

A limit is many times what the work takes, also on a busy machine: no verdict hangs on how fast something is. What is
slower than it may be has to be given so much to do that it comes nowhere near the end.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

EVERYTHING = bool(os.environ.get("PORTAL_TEST_EVERYTHING"))
"""Send everything everywhere, and generate many examples. Otherwise values take turns: each comes to many places."""

ENOUGH_CPU_SECONDS = 60.0
ENOUGH_SECONDS = 300.0


@contextmanager
def cpu_limit(what: str, *, seconds: float = ENOUGH_CPU_SECONDS) -> Iterator[None]:
    """Fail when the block keeps this process busy for so long; waiting for others does not count."""
    with _limit(signal.ITIMER_VIRTUAL, signal.SIGVTALRM, seconds, f"{what}: still busy after {seconds:g} s"):
        yield


@contextmanager
def time_limit(what: str, *, seconds: float = ENOUGH_SECONDS) -> Iterator[None]:
    """Fail when the block is not over after so long: something waits for what only comes after it."""
    with _limit(signal.ITIMER_REAL, signal.SIGALRM, seconds, f"{what}: still not over after {seconds:g} s"):
        yield


class _OverError(BaseException):
    """Raised wherever the block is when its time is over: no `except Exception` there may hold it up."""


@contextmanager
def _limit(timer: int, sign: signal.Signals, seconds: float, words: str) -> Iterator[None]:
    where: list[str] = []

    def stop(_: int, frame: FrameType | None) -> None:
        where.extend(traceback.format_stack(frame, limit=8))
        raise _OverError

    before = signal.signal(sign, stop)
    signal.setitimer(timer, seconds)
    try:
        yield
    except _OverError:
        pass
    finally:
        signal.setitimer(timer, 0)
        signal.signal(sign, before)
    if where:
        pytest.fail(f"{words}\n{''.join(where)}", pytrace=False)
