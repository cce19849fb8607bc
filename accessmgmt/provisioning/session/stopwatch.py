"""How long each step of an engine call took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Milliseconds of each step, added up when a step is done more than once."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Measure the block."""
        started = time.monotonic()
        try:
            yield
        finally:
            taken = (time.monotonic() - started) * 1_000
            self.milliseconds[name] = round(self.milliseconds.get(name, 0.0) + taken, 2)
