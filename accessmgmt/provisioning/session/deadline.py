"""How long an engine call may take, in all that it does; see watchdog.py for how that is enforced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.provisioning.session.watchdog import Watchdog


class Budget:
    """A stretch of wall-clock time. `on_progress` is told between chunks of long work; the stretch then starts anew."""

    def __init__(self, seconds: float, on_progress: Callable[[], None] | None = None) -> None:
        self.seconds = seconds
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._restarted: list[Callable[[], None]] = []

    @property
    def remaining_seconds(self) -> float:
        return self.remaining_seconds_at(time.monotonic())

    def remaining_seconds_at(self, monotonic: float) -> float:
        """Return the seconds that were left at a moment of our monotonic clock."""
        return self.seconds - (monotonic - self._started)

    def check(self) -> float:
        """Return the seconds left; raise TargetUnavailable when there are none."""
        left = self.remaining_seconds
        if left <= 0:
            raise out_of_time(self.seconds)
        return left

    def part(self, seconds: float) -> Budget:
        """Return a stretch of at most `seconds` that ends with this one at the latest. Raises TargetUnavailable."""
        return Budget(min(seconds, self.check()))

    def report_progress(self) -> None:
        """Tell the caller that work goes on, and start the time anew. Only when somebody listens."""
        self.check()
        if self._on_progress is None:
            return
        self._on_progress()
        self._started = time.monotonic()
        for callback in self._restarted:
            callback()

    @contextmanager
    def watch(self, conn: psycopg.Connection) -> Iterator[None]:
        """Cut the connection when the time is over, even when it waits inside libpq."""
        watchdog = Watchdog(conn)
        watchdog.arm(self.check())

        def restart() -> None:
            watchdog.arm(self.remaining_seconds)

        self._restarted.append(restart)
        try:
            yield
        finally:
            self._restarted.remove(restart)
            watchdog.disarm()


def out_of_time(seconds: float) -> TargetUnavailable:
    """Say that the time of an engine call is over."""
    return TargetUnavailable(
        "The work on the target took too long.",
        why=f"It may take {seconds:g} seconds.",
        todo="It is tried again by itself.",
    )
