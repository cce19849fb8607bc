"""Keeps named processes running: starts again what dies by itself, leaves alone what was stopped on purpose."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from devstack.process import ProcessError

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_STEADY_SECONDS = 60.0


class Runnable(Protocol):
    """What can be supervised: PostgresServer, RedisServer, ChildProcess."""

    @property
    def is_running(self) -> bool: ...
    @property
    def pid(self) -> int | None: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def log_tail(self, lines: int = 25) -> str: ...


@dataclass(slots=True)
class _Watched:
    process: Runnable
    is_wanted: bool = False
    wait_seconds: float = _FIRST_WAIT_SECONDS
    started_at: float = 0.0
    retry_at: float | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


@dataclass(slots=True)
class Supervisor:
    """Named processes in the order of their start. Safe to use from several threads."""

    say: Callable[[str], None]
    _watched: dict[str, _Watched] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self._watched

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._watched))

    def __getitem__(self, name: str) -> Runnable:
        return self._watched[name].process

    def add(self, name: str, process: Runnable) -> None:
        """Start a process and watch it from now on."""
        self._watched[name] = _Watched(process)
        self.start(name)

    def start(self, name: str) -> None:
        """Start one that is stopped."""
        watched = self._watched[name]
        with watched.lock:
            watched.process.start()
            watched.is_wanted = True
            watched.started_at = time.monotonic()
            watched.retry_at = None

    def stop(self, name: str) -> None:
        """Stop one in order and leave it so."""
        watched = self._watched[name]
        with watched.lock:
            watched.is_wanted = False
            watched.process.stop()

    def kill(self, name: str) -> None:
        """Kill one with SIGKILL and leave it so."""
        watched = self._watched[name]
        with watched.lock:
            watched.is_wanted = False
            watched.process.kill()

    def look(self) -> None:
        """Look once at all; say what died, and start it again when its waiting time is over."""
        for name in self:
            watched = self._watched[name]
            with watched.lock:
                if watched.is_wanted and not watched.process.is_running:
                    self._revive(name, watched)

    def _revive(self, name: str, watched: _Watched) -> None:
        now = time.monotonic()
        if watched.retry_at is None:
            if now - watched.started_at > _STEADY_SECONDS:
                watched.wait_seconds = _FIRST_WAIT_SECONDS
            watched.retry_at = now + watched.wait_seconds
            self.say(f"{name} died; next start in {watched.wait_seconds:g} s. The end of its log:")
            self.say(_indented(watched.process.log_tail()))
            watched.wait_seconds = min(2 * watched.wait_seconds, _LONGEST_WAIT_SECONDS)
        if now < watched.retry_at:
            return
        try:
            watched.process.kill()  # what it left behind
            self.start(name)
        except ProcessError as error:
            watched.retry_at = now + watched.wait_seconds
            watched.wait_seconds = min(2 * watched.wait_seconds, _LONGEST_WAIT_SECONDS)
            self.say(f"{name} does not start: {error}")
        else:
            self.say(f"{name} runs again")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
