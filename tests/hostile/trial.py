"""Plays a story on a world, ends the grants with the engine, and has the checker judge what is left."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from accessmgmt.domain.drift import DriftKind, DriftOrder
from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grants
from tests.hostile import doors, probes
from tests.hostile.acts import ALICE, BOB, DBA, OWNER, WALTER, Story
from tests.hostile.advice import follow, read_advice
from tests.hostile.checker import Known, SetRule, judge
from tests.hostile.facts import Fact, read_facts
from tests.hostile.ground import SIDE, TEMPLATE, Ground
from tests.hostile.world import INSTALLATION, PASSWORDS, World
from tests.orders import to_end

NEWCOMER = "carol"
MOST_TRIES = 6
LOCKED = "55P03"
LEFT_IN_NAMES = frozenset({DriftKind.OWNERSHIP, DriftKind.PASSED_ON})
"""What the five-minute round always mends, because others would have it when the grant is over."""


@dataclass(slots=True)
class Verdict:
    """What came of a story. `survivors` is empty when nothing outlived its grant."""

    survivors: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    played: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([*self.survivors, *(f"(unfinished: {text})" for text in self.unfinished)])


def try_story(ground: Ground, story: Story) -> Verdict:
    """Play a story and judge it. The server is cleared afterwards."""
    trial = Trial(ground, story)
    try:
        trial.run()
    finally:
        trial.close()
    return trial.verdict


class Trial:
    """One story on one world."""

    def __init__(self, ground: Ground, story: Story) -> None:
        self.ground, self.story = ground, story
        self.verdict = Verdict()
        self.world = World(ground)
        self.side = ground.server.connect(SIDE)
        self.ended: dict[int, str] = {}
        self.expected = expected_of(ground)

    def run(self) -> None:
        """Give, play, end, judge; then with a newcomer; then with nobody left."""
        world = self.world
        before = self._facts_before()
        world.give(BOB, self.story.bob_set)
        world.give(ALICE, self.story.alice_set)
        for step in self.story.steps:
            (self.verdict.played if world.play(step) else self.verdict.refused).append(step.act)
        self._end([ALICE])
        self._ask_sessions()
        world.release(ALICE)
        self._judge(before, [BOB])
        self._welcome()
        self._end([name for name in (BOB, NEWCOMER) if name in world.logins])
        self._ask_sessions()
        self._judge(before, [])

    def _facts_before(self) -> frozenset[Fact]:
        """The facts of a fresh ground: the same for each story, because a cleared ground is compared with it."""
        key = (self.ground.version, self.ground.server.port, self.ground.rebuilt)
        if key not in _facts:
            _facts[key] = read_facts(self.world.dba, self.side)
        return _facts[key]

    def close(self) -> None:
        """Clear the ground for the next one."""
        close_pools()
        self.world.close()
        self.side.close()
        self.ground.clear()

    # --- ending ---

    def _end(self, who: Sequence[str]) -> None:
        """End grants; when the engine says that it could not, do what it says, and have it try again."""
        world, left = self.world, list(who)
        last: list[str] = []
        for attempt in range(MOST_TRIES):
            if attempt > 2 and last[-1:] == last[-2:-1]:
                break  # the same again, with nothing in the way
            outcomes = end_grants(world.target, [to_end(world.logins[name].order) for name in left])
            again = []
            for name, outcome in zip(left, outcomes, strict=True):
                self.ended[world.logins[name].oid] = world.logins[name].order.login.role_name
                if isinstance(outcome, EndReceipt):
                    self._follow("\n".join(outcome.notes))
                else:
                    again.append(name)
                    last.append(str(outcome))
                    self._unfinished(name, outcome, is_last_hope=attempt >= 1)
            left = again
            if not left:
                return
        self.verdict.survivors += [f"never ended: {name}: {self.verdict.unfinished[-1]}" for name in left]

    def _unfinished(self, name: str, error: TargetError, *, is_last_hope: bool) -> None:
        words = f"{name}: {error} [{error.sqlstate}]"
        if words not in self.verdict.unfinished:
            self.verdict.unfinished.append(words)
        if not self.world.is_shut_out:
            self._check_fenced(name, str(error))
        if read_advice(str(error)):
            if self.world.is_shut:
                self.world.release(ALICE)  # nobody can do anything there before that
            self._follow(str(error))
        elif isinstance(error, TargetUnavailable) or is_last_hope:
            self.world.release(ALICE)  # what is in the way belongs to others, who have gone home

    def _follow(self, text: str) -> None:
        refused = follow(self.world.server, text, self.world.database)
        if any(LOCKED in words for words in refused):
            self.world.release(ALICE)  # whoever was in the way has gone home, and the DBA runs it again
            self.world.roll_back_prepared(BOB)
            refused = follow(self.world.server, text, self.world.database)
        self._add(refused)

    def _add(self, texts: Iterable[str]) -> None:
        self.verdict.survivors += [text for text in texts if text not in self.verdict.survivors]

    def _check_fenced(self, name: str, told: str) -> None:
        """However unfinished an ending is: no session, and no way in with any password."""
        world, login = self.world, self.world.logins[name]
        sessions = probes.look_for_sessions(world.dba, {login.oid: name})
        self._add(f"while unfinished: {text}" for text in sessions)
        role = self._role(name)
        if not role or (doors.is_stuck(world.dba, role) and not doors.what_may_be_taken(world.dba, role, told)):
            return
        for password in (login.order.password, *PASSWORDS):
            for database in (world.database, SIDE):
                with suppress(psycopg.OperationalError):
                    world.server.connect(database, role, password).close()
                    self._add([f"while unfinished: {name} can log in to {'side' if database == SIDE else 'main'}"])

    # --- judging ---

    def _ask_sessions(self) -> None:
        world = self.world
        self.verdict.survivors += probes.look_for_sessions(world.dba, self.ended)
        for slow in world.slow:
            if world.logins[slow.actor].oid in self.ended and slow.is_in():
                self._add([f"session: {slow.actor} came in late"])
        stay = [(held.actor, held.conn) for held in world.held if held.how != "busy"]
        for whose, conn in [*stay, *world.main.items()]:
            if whose not in world.logins or world.logins[whose].oid not in self.ended:
                self.verdict.survivors += probes.ask_session(conn, whose)
            elif not conn.closed:
                with suppress(psycopg.Error):
                    conn.execute("SELECT 1")
                    self.verdict.survivors.append(f"session: {whose} still speaks")

    def _judge(self, before: frozenset[Fact], live: Sequence[str]) -> None:
        world = self.world
        self._keep_in_order(live)
        after = set(read_facts(world.dba, self.side))
        after |= self.probe(after - before)
        for name in live:
            login = world.logins[name]
            after |= probes.look_what_lacks(world.dba, login.oid, name, self.rule_of(login.capability))
            after |= self._log_in(name)
        self._add(self.judge_facts(before | self.expected, after, live))

    def judge_facts(self, before: frozenset[Fact], after: Collection[Fact], live: Sequence[str]) -> list[str]:
        """Have the checker compare two sets of facts while some people's grants stand."""
        world = self.world
        known = Known(
            ended=self.ended,
            live={self._name(name): world.logins[name].capability for name in live},
            sets={capability: self.rule_of(capability) for capability in world.capabilities},
            excuses=world.excuses,
        )
        return judge(before, after, known)

    def _name(self, who: str) -> str:
        return self._role(who) or f"{who} is gone"

    def _role(self, who: str) -> str:
        """The login's present name, "" when it is gone."""
        row = self.world.dba.execute(
            "SELECT rolname::text FROM pg_authid WHERE oid = %s", [self.world.logins[who].oid]
        ).fetchone()
        return row[0] if row else ""

    def rule_of(self, capability: str) -> SetRule:
        """Return what a capability role's set says."""
        wanted = self.world.capabilities[capability]
        return SetRule(frozenset(wanted.grants), frozenset(wanted.schemas), wanted.tables)

    def _keep_in_order(self, live: Sequence[str]) -> None:
        """What the portal does by itself: every half minute, and every five what was left in the names of sets.

        Not in the name of a set of which a grant is over: that one's ending has seen to it.
        """
        world, logins = self.world, [self.world.logins[name] for name in live]
        sets = tuple({login.order.set.permissions for login in logins})
        over = {login.capability for login in world.logins.values() if login.oid in self.ended}
        unsettled = {login.capability for login in logins} - over
        with suppress(TargetError):
            resync_sets(world.target, INSTALLATION, sets)
            if unsettled:
                names = frozenset(login.order.login.role_name for login in world.logins.values())
                wanted = DriftOrder(INSTALLATION, sets, (), names)
                found = check_drift(world.target, wanted).findings
                repair(world.target, wanted, [f for f in found if f.kind in LEFT_IN_NAMES and f.role in unsettled])

    def probe(self, new: set[Fact]) -> set[Fact]:
        """Try what the application does, and look at what is new as autovacuum does."""
        world = self.world
        world.dba.execute("DELETE FROM bait.marks")
        facts: set[Fact] = set()
        for who in (OWNER, WALTER):
            try:
                with world.connect(who) as conn:
                    facts |= probes.try_statements(conn, who)
            except psycopg.OperationalError as error:
                facts.add(Fact("main", "probe", "a sign-in", who, str(error).strip(), ""))
        tables = [f.thing.partition(" ")[2] for f in new if f.kind == "owner" and f.thing.startswith("table ")]
        mats = [f.thing.removeprefix("materialized view ") for f in new if f.kind == "owner"]
        return facts | probes.analyze(world.dba, sorted({*tables, *(m for m in mats if " " not in m)}))

    def _log_in(self, name: str) -> set[Fact]:
        try:
            self.world.connect(name).close()
        except psycopg.Error as error:
            return {Fact("main", "lack", "a sign-in", name, str(error).strip(), "")}
        return set()

    def _welcome(self) -> None:
        """Somebody new gets what Alice had, and has exactly that.

        What a careless DBA gave to everybody with the set may make a new grant wait for a DBA; nobody else may.
        """
        refusals: list[str] = []
        for _ in range(MOST_TRIES):
            try:
                login = self.world.give(NEWCOMER, self.story.alice_set)
            except TargetError as error:
                refusals.append(str(error))
                if read_advice(refusals[-1]):
                    self._follow(refusals[-1])
                else:
                    time.sleep(0.1)
                continue
            lacking = probes.look_what_lacks(self.world.dba, login.oid, NEWCOMER, self.rule_of(login.capability))
            if refusals and not any(step.actor in (DBA, OWNER) for step in self.story.steps):
                lacking.add(Fact("main", "lack", "a new grant at once", NEWCOMER, refusals[-1], ""))
            break
        else:
            lacking = {Fact("main", "lack", "a new grant", NEWCOMER, refusals[-1], "")}
        self._add(judge([], lacking, Known({}, {}, {}, self.world.excuses)))


_expected: dict[int, frozenset[Fact]] = {}
_facts: dict[tuple[int, int, int], frozenset[Fact]] = {}


def expected_of(ground: Ground) -> frozenset[Fact]:
    """Return what the application's statements do on a ground that nobody has been on."""
    if ground.version not in _expected:
        name = ground.new_database()
        with ground.server.connect(name, "app_owner") as owner, ground.server.connect(name, "walter") as outsider:
            facts = probes.try_statements(owner, OWNER) | probes.try_statements(outsider, WALTER)
            _expected[ground.version] = frozenset(facts)
        with ground.server.connect() as dba:
            dba.execute(f"DROP DATABASE {name}")
    return _expected[ground.version]


__all__ = ["TEMPLATE", "Verdict", "try_story"]
