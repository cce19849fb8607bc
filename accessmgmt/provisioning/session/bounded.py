"""Runs what nobody can interrupt (a name server, libpq's sign-in, AWS) in threads that are left behind when late.

A socket can be cut from outside; the C library's resolver, and libpq while it derives the key that the server asks
for, cannot. Whoever waits for them waits for a given time, and no longer. What is left behind runs with the lowest
priority until its own end, and only few of a kind may: a server that makes us leave threads behind gets no more.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

Result = TypeVar("Result")

MOST_LEFT_BEHIND = 2
LOWEST_PRIORITY = 19

_left_behind: Counter[Hashable] = Counter()
_lock = threading.Lock()


class Pending(Generic[Result]):
    """Work in a thread of its own. `undo` gets what comes of it when nobody waits for that any more."""

    def __init__(
        self, key: Hashable, work: Callable[[], Result], undo: Callable[[Result], object] | None = None
    ) -> None:
        self._key = key
        self._work = work
        self._undo = undo
        self._is_left = self._is_done = False
        self._value: list[Result] = []
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        with _lock:
            may_start = _left_behind[key] < MOST_LEFT_BEHIND
        if may_start:
            self._thread = threading.Thread(target=self._run, name="bounded", daemon=True)
            self._thread.start()

    def result(self, seconds: float) -> Result:
        """Return what came of it, or raise what it raised. Raises TimeoutError when it is not done by then.

        TimeoutError comes at once where too many of the same key were left behind and are still at it.
        """
        if self._thread is None or not self._done.wait(max(seconds, 0)):
            self.leave()
        if not self._done.is_set():
            raise TimeoutError
        if self._error is None:
            return self._value[0]
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error

    def leave(self) -> None:
        """Wait no longer."""
        with _lock:
            if self._thread is None or self._is_done or self._is_left:
                return
            self._is_left = True
            _left_behind[self._key] += 1
        with suppress(OSError, AttributeError, TypeError):
            os.setpriority(os.PRIO_PROCESS, self._thread.native_id, LOWEST_PRIORITY)  # type: ignore[arg-type]

    def _run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:
            # Without the frames that it came through: they hold a half-made connection, and with us a circle, which
            # nobody would close before the next round of garbage collection.
            self._error = error.with_traceback(None)
        with _lock:
            self._is_done = True
            if self._is_left:
                _left_behind[self._key] -= 1
                if not _left_behind[self._key]:
                    del _left_behind[self._key]
            else:
                self._done.set()
        if self._is_left and self._value and self._undo is not None:
            with suppress(Exception):
                self._undo(self._value[0])


def within(
    seconds: float, key: Hashable, work: Callable[[], Result], *, undo: Callable[[Result], object] | None = None
) -> Result:
    """Return what the work returns. Raises what it raises, and TimeoutError when it takes longer than `seconds`."""
    return Pending(key, work, undo).result(seconds)


def left_behind(key: Hashable) -> int:
    """Return how many threads of this key are at it still though nobody waits for them."""
    with _lock:
        return _left_behind[key]
