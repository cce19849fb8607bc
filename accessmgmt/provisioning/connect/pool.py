"""A small bounded pool of admin connections for each target, in each process.

Connections are made in the caller's thread, so a refused sign-in is seen at once and with its reason, and a process
that speaks to hundreds of targets runs no thread for any of them.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.targets import Target

LARGEST = 4
MOST_POOLS = 256
IDLE_SECONDS = 300.0
ASKED_AFTER_SECONDS = 10.0
ANSWER_SECONDS = 1.0
STANDSTILL_SECONDS = 2.0
LIFETIME_SECONDS = 1_800.0


@dataclass(slots=True)
class Pooled:
    """A connection in a pool. `dies_at` and `used_at` are monotonic seconds."""

    conn: psycopg.Connection
    dies_at: float
    used_at: float

    def is_fresh(self, idle_seconds: float | None) -> bool:
        """Say whether the connection is young, was used lately and is alive."""
        now = time.monotonic()
        if now > self.dies_at or (idle_seconds is not None and now - self.used_at > idle_seconds):
            return False
        return self.is_alive()

    def is_alive(self) -> bool:
        """Say whether the connection seems to be alive. A word from the server on an idle wire is its good-bye."""
        if self.conn.closed:
            return False
        try:
            readable, _, _ = select.select([self.conn.fileno()], [], [], 0)
        except (OSError, ValueError, psycopg.Error):
            return False
        return not readable

    def answers(self, *, asked_after_seconds: float | None = None) -> bool:
        """Say whether the server still answers, within a second. One that lost its power says no good-bye.

        A connection that was used a moment ago is not asked: it costs a round trip.
        """
        if time.monotonic() - self.used_at < (
            ASKED_AFTER_SECONDS if asked_after_seconds is None else asked_after_seconds
        ):
            return True
        until = time.monotonic() + ANSWER_SECONDS
        try:
            wire = self.conn.pgconn
            wire.send_query(b"")
            while (left := until - time.monotonic()) > 0:
                readable, _, _ = select.select([wire.socket], [], [], left)
                if not readable:
                    return False
                wire.consume_input()
                while not wire.is_busy():
                    if wire.get_result() is None:
                        return True
        except (OSError, ValueError, psycopg.Error):
            return False
        return False


class Line:
    """So many may be at work at a time; others stand in line as long as it moves.

    Whoever hangs on a server keeps nobody else here for long: what comes when nothing has moved for STANDSTILL_SECONDS
    is sent away at once.
    """

    def __init__(self, places: int, *, what: str, todo: str) -> None:
        self._words = (what, todo)
        self._places = threading.BoundedSemaphore(places)
        self._moved_at = time.monotonic()

    def enter(self, timeout_seconds: float) -> None:
        """Take a place. Raises TargetUnavailable when the line does not move, or takes too long."""
        until = time.monotonic() + timeout_seconds
        is_in = self.enter_now()
        while not is_in and (left := min(until, self._moved_at + STANDSTILL_SECONDS) - time.monotonic()) > 0:
            is_in = self._places.acquire(timeout=left)
        if not is_in:
            what, todo = self._words
            raise TargetUnavailable(what, todo=todo)
        self._moved_at = time.monotonic()

    def enter_now(self) -> bool:
        """Take a place if there is one; say whether there was."""
        is_in = self._places.acquire(blocking=False)
        if is_in:
            self._moved_at = time.monotonic()
        return is_in

    def leave(self, *, has_moved: bool) -> None:
        """Give the place back; `has_moved` says that the work there came to a good end."""
        if has_moved:
            self._moved_at = time.monotonic()
        self._places.release()


class Pool:
    """At most `largest` connections, of which `smallest` are kept when idle.

    A pool that is kept open (see `keep_open`) holds one at any rate, however old: when a server is full, and where
    somebody filled it up to keep access, no new one would be let in.
    """

    def __init__(self, connect: Callable[[float], psycopg.Connection], *, smallest: int, largest: int) -> None:
        self._connect = connect
        self._smallest = smallest
        self._slots = Line(
            largest,
            what="All of the portal's connections to this target are busy.",
            todo="It is tried again. If this stays so, look for slow statements on the server.",
        )
        self._first = Line(
            1,
            what="This target has let nobody in lately, and others are asking it now.",
            todo="It is tried again by itself.",
        )
        self._lets_in = False
        self._lock = threading.Lock()
        self._idle: list[Pooled] = []
        self._is_closed = False
        self._kept_until = float("-inf")

    def take(self, timeout_seconds: float) -> tuple[Pooled, bool]:
        """Return a connection and whether it is new. Raises TargetUnavailable when all are busy for too long."""
        self._slots.enter(timeout_seconds)
        return self._take(timeout_seconds)

    def _take(self, timeout_seconds: float) -> tuple[Pooled, bool]:
        """Do the same once there is a slot for it, which is free again when that fails."""
        started = time.monotonic()
        try:
            while (pooled := self._pop()) is not None:
                if (pooled.is_fresh(None) or (self.is_kept and pooled.is_alive())) and pooled.answers():
                    return pooled, False
                _close(pooled)
            return self._make(started + timeout_seconds), True
        except BaseException:
            self._slots.leave(has_moved=False)
            raise

    @property
    def is_kept(self) -> bool:
        """Whether one connection has to stay open."""
        return time.monotonic() < self._kept_until

    def keep_open(self, for_seconds: float, timeout_seconds: float) -> None:
        """Hold one connection open from now on, and prove that it works. An old one is replaced when a new one gets in.

        Raises TargetUnavailable or TargetRefused when there is none, and none can be made.
        """
        self._kept_until = time.monotonic() + for_seconds
        if not self._slots.enter_now():
            return  # all are in use, and one of them stays
        pooled, is_new = self._take(timeout_seconds)
        if is_new or time.monotonic() < pooled.dies_at:
            self.give_back(pooled)
            return
        try:
            fresh = self._make(time.monotonic() + timeout_seconds)
        except TargetError:
            self.give_back(pooled)
        else:
            _close(pooled)
            self.give_back(fresh)

    def _make(self, until: float) -> Pooled:
        conn = self._connected(until)
        now = time.monotonic()
        lifetime = LIFETIME_SECONDS * random.uniform(0.8, 1)  # noqa: S311
        return Pooled(conn, dies_at=now + lifetime, used_at=now)

    def _connected(self, until: float) -> psycopg.Connection:
        """Connect. As long as nobody was let in since the last failure, one at a time finds out whether somebody is."""
        if not self._lets_in:
            self._first.enter(until - time.monotonic())
            try:
                if not self._lets_in:
                    return self._try(until)
            finally:
                self._first.leave(has_moved=self._lets_in)
        return self._try(until)

    def _try(self, until: float) -> psycopg.Connection:
        try:
            conn = self._connect(until - time.monotonic())
        except BaseException:
            self._lets_in = False
            raise
        self._lets_in = True
        return conn

    def give_back(self, pooled: Pooled) -> None:
        """Take a connection back, or close it when it is not clean. Nothing is asked: nobody watches the clock here."""
        conn = pooled.conn
        is_clean = not conn.closed and conn.info.transaction_status is TransactionStatus.IDLE
        pooled.used_at = time.monotonic()
        with self._lock:
            if is_clean and not self._is_closed:
                self._idle.append(pooled)
                pooled = None  # type: ignore[assignment]
        if pooled is not None:
            _close(pooled)
        self._slots.leave(has_moved=True)

    def shrink(self) -> None:
        """Close connections that have been idle for long, except the smallest number."""
        with self._lock:
            kept: list[Pooled] = []
            closed: list[Pooled] = []
            for pooled in reversed(self._idle):
                limit = None if len(kept) < self._smallest else IDLE_SECONDS
                is_needed = self.is_kept and not kept and pooled.is_alive()
                (kept if is_needed or pooled.is_fresh(limit) else closed).append(pooled)
            self._idle = kept[::-1]
        for pooled in closed:
            _close(pooled)

    def drop_idle(self) -> None:
        """Close what is idle: one of its kind was found dead. Of a pool that is kept open, one that answers stays."""
        with self._lock:
            closed, self._idle = self._idle, []
        if self.is_kept:
            stays = next((p for p in closed if p.is_alive() and p.answers(asked_after_seconds=0)), None)
            closed = [pooled for pooled in closed if pooled is not stays]
            if stays is not None:
                with self._lock:
                    self._idle.append(stays)
        for pooled in closed:
            _close(pooled)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        with self._lock:
            self._is_closed = True
        self._kept_until = float("-inf")
        self.drop_idle()

    def _pop(self) -> Pooled | None:
        with self._lock:
            return self._idle.pop() if self._idle else None


class Registry:
    """The pools of this process. A child after fork starts with none: psycopg closes no connection it did not open."""

    def __init__(self) -> None:
        self._pools: OrderedDict[Target, Pool] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._shrunk_at = time.monotonic()

    def pool_of(self, target: Target, make: Callable[[], Pool]) -> Pool:
        """Return the pool of a target, made on first use."""
        if os.getpid() != self._pid:
            self.__init__()  # type: ignore[misc]
        with self._lock:
            pool = self._pools.pop(target, None)
            if pool is None:
                pool = make()
            self._pools[target] = pool
            extra = self._pools.popitem(last=False)[1] if len(self._pools) > MOST_POOLS else None
        if extra is not None:
            extra.close()
        self._shrink_now_and_then()
        return pool

    def close(self) -> None:
        """Close all pools."""
        with self._lock:
            pools = [] if os.getpid() != self._pid else list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.close()

    def _shrink_now_and_then(self) -> None:
        if time.monotonic() - self._shrunk_at < IDLE_SECONDS / 10:
            return
        self._shrunk_at = time.monotonic()
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.shrink()


def _close(pooled: Pooled) -> None:
    with suppress(psycopg.Error):
        pooled.conn.close()
