"""Does what a message tells a DBA to do: the statements in it, and nothing else."""

from __future__ import annotations

import re

HEADING = re.compile(r"(?:A DBA|A superuser|The owner of [^:]*?) runs(?:, connected to [^:]*)?: ")


def sql_in(text: str) -> str:
    """Return the statements that a message shows, in order; fails when it shows none."""
    parts = HEADING.split(text)[1:]
    assert parts, f"nothing to run in: {text}"
    return " ".join(part[: part.rindex(";") + 1] for part in parts)
