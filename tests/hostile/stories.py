"""Generates stories, so that hypothesis can shrink them: fewer acts first, then simpler ones."""

from __future__ import annotations

from dataclasses import replace

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
    parts = draw(st.lists(steps(), min_size=1, max_size=LONGEST))
    alice, bob = draw(st.integers(0, len(SETS) - 1)), draw(st.integers(0, len(SETS) - 1))
    return Story(tuple(step for part in parts for step in part), alice, bob)
