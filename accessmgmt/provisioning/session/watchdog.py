"""The one thread of a process that cuts connections to targets: those whose time is over, and those that are flooded.

statement_timeout alone is not enough: it does not bound the wait for a synchronous standby at COMMIT, and it is the
server's own promise. The server notices the cut through client_connection_check_interval.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import suppress

import psycopg

MOST_RECEIVED_BYTES = 128 * 1024 * 1024
LOOK_SECONDS = 0.25
_RECEIVED_AT = 128  # of tcpi_bytes_received in struct tcp_info (linux/tcp.h)


class Watchdog:
    """Watches one connection while it is armed. Reading a result goes on inside libpq: only a cut stops that."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn
        self.ends_at = float("inf")
        self.most_bytes = 0

    def arm(self, seconds: float) -> None:
        """Start, or start anew: so many seconds, and MOST_RECEIVED_BYTES, from now."""
        _guard_of_this_process().watch(self, time.monotonic() + seconds)

    def disarm(self) -> None:
        """Stop; afterwards the connection is not touched."""
        _guard_of_this_process().leave(self)

    def is_over(self) -> bool:
        """Say whether the time is over, or the server sends without end."""
        return time.monotonic() >= self.ends_at or received_bytes(self.conn) > self.most_bytes

    def cut(self) -> None:
        """Shut the socket down: whoever waits on it wakes up."""
        if self.conn.closed:
            return
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.conn.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)


class _Guard:
    """Looks at every armed connection four times a second, and at its end."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._watched: set[Watchdog] = set()
        self._changed = threading.Condition()
        self._wakes_at = float("inf")
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def watch(self, dog: Watchdog, ends_at: float) -> None:
        with self._changed:
            dog.ends_at = ends_at
            dog.most_bytes = received_bytes(dog.conn) + MOST_RECEIVED_BYTES
            self._watched.add(dog)
            if min(ends_at, time.monotonic() + LOOK_SECONDS) < self._wakes_at:
                self._changed.notify()

    def leave(self, dog: Watchdog) -> None:
        with self._changed:
            self._watched.discard(dog)

    def _run(self) -> None:
        with self._changed:
            while True:
                for dog in [dog for dog in self._watched if dog.is_over()]:
                    dog.cut()
                    self._watched.discard(dog)
                now = time.monotonic()
                pause = min([LOOK_SECONDS, *(dog.ends_at - now for dog in self._watched)]) if self._watched else None
                self._wakes_at = float("inf") if pause is None else now + pause
                self._changed.wait(None if pause is None else max(pause, 0))


_guard: _Guard | None = None
_lock = threading.Lock()


def _guard_of_this_process() -> _Guard:
    """Return the guard; a child after fork has none of its parent's threads and makes its own."""
    global _guard
    guard = _guard
    if guard is None or guard.pid != os.getpid():
        with _lock:
            if _guard is None or _guard.pid != os.getpid():
                _guard = _Guard()
            guard = _guard
    return guard


def received_bytes(conn: psycopg.Connection) -> int:
    """Return how many bytes the server has sent over the connection; 0 where the system does not count them."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as wire:
        facts = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
        if len(facts) >= _RECEIVED_AT + 8:
            return int(struct.unpack_from("=Q", facts, _RECEIVED_AT)[0])
    return 0
