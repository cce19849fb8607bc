"""Looks: what the portal does on a target because somebody asks, and waits for in the browser."""

from __future__ import annotations

from enum import StrEnum


class LookKind(StrEnum):
    """What is looked at. `unsaved` is a connection test of what stands in a form; `move` asks a new address."""

    CONNECTION = "connection"
    UNSAVED = "unsaved"
    MOVE = "move"
    DRIFT = "drift"
    REPAIR = "repair"


class LookState(StrEnum):
    """`queued -> running -> done | failed`; a look that nobody takes up fails as well."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


LIVE_LOOK_STATES = (LookState.QUEUED, LookState.RUNNING)
