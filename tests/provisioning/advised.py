"""Which advice is proven: its test shows the refusal, does as told, and repeats the act that was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PROVEN: dict[str, str] = {}
"""Functions of the advice modules, and the test of each."""


def name_of(function: Callable[..., object]) -> str:
    """Return a function's full name."""
    return f"{function.__module__}.{function.__qualname__}"


def proves(*functions: Callable[..., object]) -> Callable[[Any], Any]:
    """Mark a test as the proof of pieces of advice."""

    def mark(test: Any) -> Any:
        for function in functions:
            PROVEN[name_of(function)] = name_of(test)
        return test

    return mark
