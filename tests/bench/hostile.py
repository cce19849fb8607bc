"""Stories of a hostile grantee, 500 others on each of three versions: how many of them left something behind."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.bench.engine import BENCH
from tests.hostile.acts import Story
from tests.hostile.catalogue import ACTS
from tests.hostile.ground import ground
from tests.hostile.stories import numbers_for, tell
from tests.hostile.trial import try_story

VERSIONS, COUNT, SEED = (14, 16, 18), 500, 1


@dataclass(slots=True)
class Tally:
    """What came of the stories on one version."""

    version: int
    stories: int = 0
    unfinished: int = 0
    took_seconds: float = 0.0
    played: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    survivors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"  PostgreSQL {self.version}: {self.stories} stories in {self.took_seconds:.0f} s,"
            f" {len(self.played)} of {len(ACTS)} acts took effect {self.played.total()} times,"
            f" {self.refused.total()} were refused, {self.unfinished} endings needed a DBA or patience,"
            f" {len(self.survivors)} left something"
        )


def measure(*, count: int = COUNT, first_seed: int = SEED) -> dict[str, float]:
    """Return the number of stories played and of those that left something: none."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(VERSIONS), context) as pool:
        tallies = list(pool.map(play, VERSIONS, [count] * len(VERSIONS), [first_seed] * len(VERSIONS)))
    for tally in tallies:
        print(tally)
        for text in tally.survivors:
            print(text)
    return {
        "hostile_sequences": float(sum(tally.stories for tally in tallies)),
        "hostile_survivors": float(sum(len(tally.survivors) for tally in tallies)),
    }


def play(version: int, count: int, first_seed: int) -> Tally:
    """Play stories on a server of one version."""
    tally = Tally(version)
    directory = BENCH / f"hostile-{version}"
    began = time.monotonic()
    with ground(version, directory) as field_:

        def play_one(story: Story) -> None:
            verdict = try_story(field_, story)
            tally.stories += 1
            tally.unfinished += bool(verdict.unfinished)
            tally.played.update(verdict.played)
            tally.refused.update(verdict.refused)
            if verdict.survivors:
                tally.survivors.append(f"{version}, {number}: {story}\n{verdict}")

        for number in numbers_for(version, first_seed):
            if tally.stories == count:
                break
            tell(number, play_one, shrinks=False)
    tally.took_seconds = time.monotonic() - began
    shutil.rmtree(directory, ignore_errors=True)
    return tally
