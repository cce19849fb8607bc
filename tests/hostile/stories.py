"""Generates stories, a seed for each, so that hypothesis can shrink one that fails: fewer acts, simpler ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.hostile.acts import DBA, OWNER, Step, Story
from tests.hostile.catalogue import ACTS, NEEDS, SAME, SETS

WHOM = ("walter", "public", "other", "group", "cap", "bobcap")
WHOM_OF_A_DBA = ("login", "cap", "walter", "public", "other", "group")
SCHEMAS = ("play", "play", "app", "public")
LONGEST = 10


@st.composite
def steps(draw: st.DrawFn) -> tuple[Step, ...]:
    """Draw one act, more often than not with what makes it possible."""
    act = ACTS[draw(st.sampled_from(tuple(ACTS)))]
    actor = draw(st.sampled_from(act.actors))
    whom = draw(st.sampled_from(WHOM_OF_A_DBA if actor in (DBA, OWNER) else WHOM))
    schema = draw(st.sampled_from(SCHEMAS))
    step = Step(act.name, actor, whom, schema)
    if act.name not in NEEDS or draw(st.integers(0, 3)) == 0:
        return (step,)
    first = [replace(s, actor=actor, whom=whom, schema=schema) if s.actor == SAME else s for s in NEEDS[act.name]]
    return (*first, step)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw what happens between a grant and its end."""
    parts = draw(st.lists(steps(), max_size=LONGEST))
    alice, bob = draw(st.integers(0, len(SETS) - 1)), draw(st.integers(0, len(SETS) - 1))
    return Story(tuple(step for part in parts for step in part), alice, bob)


def numbers_for(version: int, first: int = 1) -> Iterator[int]:
    """Yield numbers of stories that no other version has: what is played on several is not the same there."""
    return itertools.count(version * 1_000_000 + first)


def tell(number: int, listen: Callable[[Story], None], *, shrinks: bool) -> None:
    """Make the story of a number and hand it over; when `listen` raises, look for a shorter one that fails.

    Hypothesis tries the empty story first, and varies what it had in one run: two examples are one fresh story.
    """

    @seed(number)
    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(stories())
    def once(story: Story) -> None:
        if story.steps:
            listen(story)

    once()
