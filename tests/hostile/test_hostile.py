"""People with a grant, an outsider and a careless DBA do what they like; then the grant ends, and nothing is left.

A few stories, the same each time: `make bench` plays five hundred on each version.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile.acts import Story
from tests.hostile.ground import Ground
from tests.hostile.stories import numbers_for, tell
from tests.hostile.trial import try_story

VERSIONS, STORIES = (14, 16, 18), 5


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_outlives_a_grant_whatever_people_do_with_it(grounds: Callable[[int], Ground], version: int) -> None:
    ground, told = grounds(version), list[Story]()
    for number in numbers_for(version):
        if len(told) >= STORIES:
            break

        def play(story: Story, number: int = number) -> None:
            told.append(story)
            verdict = try_story(ground, story)
            assert not verdict.survivors, f"seed {number}, PostgreSQL {version}, {story}\n{verdict}"

        tell(number, play, shrinks=True)
