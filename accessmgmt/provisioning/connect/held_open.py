"""Holds one admin connection open to every server with live grants, in each process that ends them.

A person may fill a server up, and VALID UNTIL cuts no session: an ending that had to log in first would stay outside
for as long as they like. Connections are made and asked by one thread of the process; a server that does not answer is
tried less and less often, and keeps no other one's connection from being there already.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import keep_connection
from accessmgmt.provisioning.connect.primary import find_servers

MOST_KEPT = 200
EVERY_SECONDS = 15.0
KEPT_SECONDS = 300.0
CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0


def keep_open(target: Target) -> None:
    """Hold a connection to each server of a target on which an ending works. Raises TargetError when one has none."""
    found = find_servers(target, CONNECT_SECONDS, for_ending=True)
    for place in (found.writable, found.standby):
        if place is not None:
            keep_connection(place, for_seconds=KEPT_SECONDS, timeout_seconds=CONNECT_SECONDS)


@dataclass(slots=True)
class Kept:
    """A target whose turn comes at `due_at` (monotonic), and how often in a row it had no connection."""

    due_at: float
    failures: int = 0


@dataclass(slots=True)
class Keeper:
    """The targets of a process that are kept open, and the thread that does it."""

    targets: dict[Target, Kept] = field(default_factory=dict)
    pid: int = field(default_factory=os.getpid)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    def keep(self, targets: Sequence[Target]) -> None:
        """Hold these open from now on, and no others; at most MOST_KEPT of them."""
        with self._changed:
            now = time.monotonic()
            self.targets = {target: self.targets.get(target) or Kept(now) for target in targets[:MOST_KEPT]}
            if self.targets and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kept connections", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self.targets:
                    self._changed.wait()
                    continue
                target, kept = min(self.targets.items(), key=lambda item: item[1].due_at)
                if (pause := kept.due_at - time.monotonic()) > 0:
                    self._changed.wait(pause)
                    continue
            try:
                keep_open(target)
            except TargetError:
                kept.failures += 1
            else:
                kept.failures = 0
            kept.due_at = time.monotonic() + min(EVERY_SECONDS * 2**kept.failures, LONGEST_PAUSE_SECONDS)


_keeper = Keeper()


def keep_all_open(targets: Sequence[Target]) -> None:
    """Hold a connection to each of these open in this process, and no longer to those that were named before."""
    global _keeper
    if _keeper.pid != os.getpid():  # a child after fork has no thread, and locks that nobody will free
        _keeper = Keeper()
    _keeper.keep(targets)
