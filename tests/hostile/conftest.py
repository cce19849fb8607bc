"""Grounds to play on, one for each version in a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile.ground import Ground


@pytest.fixture(scope="session")
def grounds(servers_directory: Path) -> Iterator[Callable[[int], Ground]]:
    """Return a function from a version to a ground."""
    made: dict[int, Ground] = {}

    def ground_of(version: int) -> Ground:
        if version not in made:
            made[version] = Ground(version, servers_directory / f"hostile-{version}")
        return made[version]

    yield ground_of
    for ground in made.values():
        ground.destroy()
