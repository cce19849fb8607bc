"""What an act is. The catalogue stands in acts_*.py, by who does it; `ACTS` in catalogue.py is all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

ALICE, BOB, WALTER, OWNER, DBA = "alice", "bob", "walter", "owner", "dba"
GRANTEES = (ALICE, BOB)
PEOPLE = (ALICE, BOB, WALTER)
PREFIX = {ALICE: "a", BOB: "b", WALTER: "w", OWNER: "o", DBA: "d"}
"""Everybody's objects begin with a letter of their own: how the checker knows whose they were."""


class How(StrEnum):
    """In which session an act is done, and how that is left."""

    MAIN = "main"  # the person's usual session: SET ROLE stays in force there
    OPEN = "open"  # a session of its own, in a transaction that is left open
    STAY = "stay"  # a session of its own that is left open, without a transaction
    BUSY = "busy"  # a session of its own that still waits for the last statement's answer
    SIDE = "side"  # a session of its own in another database, left open
    SLOW = "slow"  # a sign-in that the client holds up: the server has said yes, and shows no session yet
    MADE = "made"  # a session in the database that the person made, closed again


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody may try. What the server refuses is no act.

    Words in braces in `sql`, `leaves`, `takes` and `undo` are names: {me} (who acts), {p} (the letter of what they
    make), {cap}, {alice}, {alicecap}, {bob}, {bobcap}, {db}, {whom} and {schema} of the step.
    `leaves` and `takes` are facts that the act may add or remove for good, because a permanent person has the right to:
    "kind; thing; who; what; by", each a regular expression, missing ones any. `undo` is what a DBA does afterwards, so
    that the application can be looked at again.
    """

    name: str
    actors: tuple[str, ...]
    sql: tuple[str, ...]
    how: How = How.MAIN
    leaves: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    since: int = 14
    until: int = 99


@dataclass(frozen=True, slots=True)
class Step:
    """One act by one person; `whom` is who profits, or is hurt."""

    act: str
    actor: str
    whom: str = "walter"
    schema: str = "play"


@dataclass(frozen=True, slots=True)
class Story:
    """What happens between a grant and its end. The sets are indexes into SETS."""

    steps: tuple[Step, ...]
    alice_set: int = 0
    bob_set: int = 0

    def __str__(self) -> str:
        done = "; ".join(f"{s.actor} {s.act}({s.whom}, {s.schema})" for s in self.steps)
        return f"sets {self.alice_set}/{self.bob_set}: {done}"


@dataclass(slots=True)
class Excuses:
    """What permanent people did by their own right: facts that may be new, facts that may be gone."""

    leaves: list[str] = field(default_factory=list)
    takes: list[str] = field(default_factory=list)


def act(name: str, actors: Sequence[str] | str, *sql: str, **facts: object) -> Act:
    """Make an act of the catalogue."""
    who = (actors,) if isinstance(actors, str) else tuple(actors)
    return Act(name, who, sql, **facts)  # type: ignore[arg-type]
