"""How long an engine call may take, and the watchdog that enforces it from our side of the wire."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from accessmgmt.domain.errors import TargetUnavailable


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
        """Cut the connection when the time is over, even when it waits inside libpq.

        statement_timeout alone is not enough: it does not bound the wait for a synchronous standby at COMMIT
        (postgres.md 6). The server notices the cut through client_connection_check_interval.
        """
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


class Watchdog:
    """A timer that shuts a connection's socket down."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def arm(self, seconds: float) -> None:
        """Start, or start anew."""
        with self._lock:
            self._stop()
            self._timer = threading.Timer(seconds, self._cut)
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        """Stop; afterwards the connection is not touched."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        with self._lock:
            if self._timer is None or self._timer is not threading.current_thread() or self._conn.closed:
                return
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._conn.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)


def out_of_time(seconds: float) -> TargetUnavailable:
    """Say that the time of an engine call is over."""
    return TargetUnavailable(
        "The work on the target took too long.",
        why=f"It may take {seconds:g} seconds.",
        todo="It is tried again by itself.",
    )
