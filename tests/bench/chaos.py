"""Three hundred grants in two minutes of kills: what an independent checker finds afterwards."""

from __future__ import annotations

import shutil

from tests.bench.engine import BENCH
from tests.chaos.storm import installation

COUNT, SECONDS, SEED = 300, 120.0, 1


def measure(*, count: int = COUNT, seconds: float = SECONDS, seed: int = SEED) -> dict[str, float]:
    """Return how many sign-ins outlived their time, roles nobody knows, and grants that nobody will finish: none."""
    directory = BENCH / "chaos"
    shutil.rmtree(directory, ignore_errors=True)
    with installation(directory) as storm:
        outcome = storm.run(count=count, seconds=seconds, seed=seed)
    verdict = outcome.verdict
    if verdict is None or sum(verdict.states.values()) != count:
        raise RuntimeError(f"the storm did not have {count} grants: {outcome}")
    if not verdict.is_clean:
        print(verdict)
    shutil.rmtree(directory, ignore_errors=True)
    return {
        "chaos_leaked": float(len(verdict.leaked)),
        "chaos_unknown": float(len(verdict.unknown)),
        "chaos_stuck": float(len(verdict.stuck)),
    }
