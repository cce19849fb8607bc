"""Prints a line for each step with the time it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Reporter:
    """Numbers and times steps; `with reporter.step("sign in"): ...`."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._began = time.monotonic()
        self.steps = 0

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Time what is done inside; an exception marks the step as failed and goes on up."""
        self.steps += 1
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self._line("FAILED", text, began)
            raise
        self._line("ok", text, began)

    @property
    def seconds(self) -> float:
        """The time since the reporter was made."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print a line of its own."""
        print(text, file=self._out, flush=True)

    def _line(self, verdict: str, text: str, began: float) -> None:
        self.say(f"{self.steps:3}  {verdict:6}  {time.monotonic() - began:6.2f} s  {text}")
