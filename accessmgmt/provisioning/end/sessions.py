"""Ends the sessions of login roles on one server, by the roles' OIDs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.targets import CutSession
from accessmgmt.provisioning.connect.hosts import is_standby
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT
from accessmgmt.provisioning.statements.ending import (
    READ_NAMES,
    SHORT_LOCK_TIMEOUT,
    as_member,
    step_into,
    terminate_seen,
    terminate_starting,
)
from accessmgmt.provisioning.statements.reading import READ_LSN, READ_MAY_SIGNAL

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.03
LONGEST_SECONDS = 10.0
LONGEST_START_SECONDS = 2.0
LOOKS_AFTER_CUT = 3
NOT_TO_END = frozenset({"42501", "55P03"})


@dataclass(slots=True)
class Cut:
    """Sessions that were terminated, and why those of some roles were not, by the role's OID.

    `starting` are processes that were told to end although nobody can say whose they were to be.
    """

    sessions: dict[int, list[CutSession]] = field(default_factory=dict)
    starting: set[int] = field(default_factory=set)
    failures: dict[int, TargetError] = field(default_factory=dict)


def end_sessions(session: Session, oids: Sequence[int], *, server: str, is_quick: bool = False) -> Cut:
    """Terminate every session of these role OIDs until none is left, with one query a look.

    Nobody can log in as these roles any more, but whoever was let in a moment before may not be shown as a session yet:
    what was beginning one at the first look is waited for, and told to end after LONGEST_START_SECONDS. So the usual
    case, in which nothing begins at that moment, is proved by one look. `is_quick` looks once and proves nothing.

    Roles whose sessions do not die in time, or may not be terminated, are reported as failures and do not hold up the
    others.
    """
    cut = Cut()
    _end_sessions(session, list(dict.fromkeys(oids)), server, cut, is_quick=is_quick)
    return cut


def _end_sessions(session: Session, oids: list[int], server: str, cut: Cut, *, is_quick: bool) -> None:
    if not oids:
        return
    try:
        _poll(session, oids, server, cut, is_quick=is_quick)
    except psycopg.Error as error:
        if is_lost(error) or error.sqlstate not in NOT_TO_END:
            raise
        session.roll_back()
        if len(oids) == 1:
            todo = str(advice.end_sessions(_acting_as(session), session.server_version))
            cut.failures[oids[0]] = session.explained(error, todo=todo)
            return
        half = len(oids) // 2
        _end_sessions(session, oids[:half], server, cut, is_quick=is_quick)
        _end_sessions(session, oids[half:], server, cut, is_quick=is_quick)


def _poll(session: Session, oids: list[int], server: str, cut: Cut, *, is_quick: bool) -> None:
    seen: set[int] = set()
    began = time.monotonic()
    starting: Starting | None = None
    pause = FIRST_PAUSE_SECONDS  # a backend that idles is gone within a millisecond or two
    while oids:
        found = _look(session, oids)
        rows = [row for row in found if row["oid"] is not None]
        for row in rows:
            if row["pid"] not in seen:
                seen.add(row["pid"])
                ended = CutSession(server, row["pid"], row["application_name"], row["started_at"])
                cut.sessions.setdefault(row["oid"], []).append(ended)
        pids = {row["pid"] for row in found if row["oid"] is None}
        starting = starting or Starting(pids, began)
        if is_quick or (starting.is_over(session, pids, cut) and not rows):
            return
        if rows and time.monotonic() > began + LONGEST_SECONDS:
            stubborn = _stubborn(session, rows)
            cut.failures |= stubborn
            oids = [oid for oid in oids if oid not in stubborn]
        time.sleep(min(pause, session.budget.check()))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _look(session: Session, oids: list[int]) -> list[Row]:
    """Tell the sessions of these roles to end, and list them; as their member where we may not end any in general."""
    try:
        return session.send([terminate_seen(oids)])[0]
    except psycopg.errors.InsufficientPrivilege:
        session.roll_back()
        names = [row["name"] for row in session.ask(READ_NAMES, {"oids": oids})]
        if not names or is_standby(session.conn):
            raise
    return session.send(as_member(names, terminate_seen(oids), session.server_version))[-2]


def become_member(session: Session, names: Sequence[str]) -> str:
    """Be a member of logins for good where we may not end sessions in general; return the log position behind that.

    For a standby, where nobody becomes anything: it replays the membership, and DROP ROLE takes it away. "" when there
    is no need.
    """
    if not names or session.ask(READ_MAY_SIGNAL)[0]["may_signal"]:
        return ""
    steps = [step_into(name, session.server_version) for name in names]
    results = session.repeat(lambda: session.send([BEGIN, SHORT_LOCK_TIMEOUT, *steps, COMMIT, READ_LSN]))
    return str(results[-1][0]["lsn"])


@dataclass(slots=True)
class Starting:
    """Processes that were beginning a session at the first look, when nobody could be let in any more."""

    pids: set[int]
    began: float
    looks_left: int = LOOKS_AFTER_CUT

    def is_over(self, session: Session, pids: set[int], cut: Cut) -> bool:
        """Take off those that have finished their start, or gone; say whether none is left that may be a login's.

        One that is told to end and still begins is not judged yet, and will be refused: a password is not asked for
        the whole time.
        """
        self.pids &= pids
        if not self.pids:
            return True
        if time.monotonic() > self.began + LONGEST_START_SECONDS:
            if self.looks_left == 0:
                return True
            self.looks_left -= 1
            session.send([terminate_starting(sorted(self.pids))])
            cut.starting |= self.pids
        return False


def _acting_as(session: Session) -> str:
    return str(session.ask(READ_MAY_SIGNAL)[0]["name"])


def _stubborn(session: Session, rows: list[Row]) -> dict[int, TargetError]:
    pids: dict[int, list[str]] = {}
    for row in rows:
        pids.setdefault(row["oid"], []).append(str(row["pid"]))
    return {
        oid: TargetUnavailable(
            f"{len(own)} sessions on “{session.target_name}” do not end.",
            why=f"They were told to {LONGEST_SECONDS:g} seconds ago: pid {', '.join(own)}.",
            todo="They are told again by itself. If this stays so, look at what they wait for.",
        )
        for oid, own in pids.items()
    }
