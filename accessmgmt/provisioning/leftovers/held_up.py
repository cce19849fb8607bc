"""Work that waits for a lock which somebody else holds, for as long as they like: an ending's, and a grant's.

A person may hold up the ending of a colleague with an open transaction: an uncommitted GRANT to the colleague's login,
or a look at its address, locks it. So whoever keeps an ending waiting for a second is cut, if it is a session of a
login that the portal made; anybody else is named, a prepared transaction by its gid. Who keeps a grant waiting is
named, too, and nobody is cut for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import psycopg
from psycopg.rows import dict_row

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import admin_connection
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.ending import cut_blockers, read_blockers

Result = TypeVar("Result")

LOCKED = "55P03"
PATIENCE_SECONDS = 1.0
"""How long a login of the portal may keep an ending waiting; the first half of it is the first attempt's own wait."""
MOST_ATTEMPTS = 8
PAUSE_SECONDS = 0.03
CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that held a lock, or a prepared transaction: its pid is 0, and it has a gid where that could be seen.

    `is_ours` is one of a login of the portal, `is_superuser` one that only a superuser may end. `relation` is what was
    waited for, "" when it is no relation of the resource's database; the server has quoted its name.
    """

    pid: int
    role: str
    application_name: str
    since: datetime | None
    is_ours: bool
    is_superuser: bool = False
    gid: str = ""
    database: str = ""
    relation: str = ""

    def in_words(self) -> str:
        """Say who it is."""
        if not self.pid and not self.gid:
            return "a prepared transaction (pg_prepared_xacts lists them)"
        if not self.pid:
            since = f" at {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
            return f"the transaction {self.gid!r}, which {self.role} prepared in {self.database}{since}"
        name = f" “{self.application_name}”" if self.application_name else ""
        since = f", in a transaction since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"the session{name} of {self.role or 'a role that is gone'} (pid {self.pid}{since})"


class HeldUp(TargetUnavailable):
    """Somebody who is not ours to cut keeps the work waiting."""


@dataclass(slots=True)
class Watch:
    """Looks, over a second connection, at who keeps the first one waiting; cuts our logins once patience is over.

    `seen` are those of the last look that found any. Without an installation nobody is ours.
    """

    target: Target
    installation: Installation | None
    pid: int
    seen: tuple[Blocker, ...] = ()
    cut: dict[int, Blocker] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def look_anew(self) -> None:
        """Forget who was seen: what is tried now may wait for others."""
        self.seen = ()

    def _run(self) -> None:
        # Without a second connection nobody is named and nobody is cut: the ending is tried again all the same.
        with (
            suppress(psycopg.Error, TargetError),
            admin_connection(self.target, timeout_seconds=CONNECT_SECONDS) as conn,
        ):
            until = time.monotonic() + PATIENCE_SECONDS / 2
            while not self._stopped.wait(PAUSE_SECONDS):
                self._look(conn, is_cutting=time.monotonic() > until)

    def _look(self, conn: psycopg.Connection, *, is_cutting: bool) -> None:
        cursor = conn.cursor(row_factory=dict_row)
        found = [
            _blocker(row, is_ours=self._is_ours(row))
            for row in cursor.execute(read_blockers(self.pid).query.as_bytes(conn)).fetchall()
        ]
        self.seen = tuple(found) or self.seen
        if is_cutting and (ours := {blocker.pid: blocker for blocker in found if blocker.is_ours}):
            cut = cursor.execute(cut_blockers(self.pid, list(ours)).query.as_bytes(conn)).fetchall()
            self.cut |= {row["pid"]: ours[row["pid"]] for row in cut}

    def _is_ours(self, row: Row) -> bool:
        tag = self.installation.read_tag(row["tag"], row["role"]) if self.installation is not None else None
        return tag is not None and tag.kind == "grant"


def _blocker(row: Row, *, is_ours: bool) -> Blocker:
    return Blocker(
        pid=row["pid"],
        role=row["role"],
        application_name=row["application_name"],
        since=row["since"],
        is_ours=is_ours,
        is_superuser=row["is_superuser"],
        gid=row["gid"],
        database=row["database"],
        relation=row["relation"],
    )


def insist(session: Session, target: Target, work: Callable[[], object], what: str) -> list[Blocker]:
    """Do a piece of work that starts a transaction of its own and waits for locks only briefly.

    Returns the sessions that were cut for it. Raises HeldUp, which names who holds `what`, when it is not one of ours.
    """
    try:
        session.repeat(work, but_not=LOCKED)
    except psycopg.errors.LockNotAvailable:
        session.roll_back()
    else:
        return []
    with Watch(target, session.installation, session.conn.info.backend_pid) as watch:
        is_done = _try_on(session, work, watch)
    if not is_done:
        raise _held_up(session, what, watch.seen)
    return list(watch.cut.values())


def naming_holders(session: Session, target: Target, work: Callable[[], Result], what: str) -> Result:
    """Do a piece of work that may be begun again; where it fails for a lock, do it once more and look who holds that.

    Raises HeldUp, which names them. Nobody is cut. The look is one attempt: a lock that is free by then is had.
    """
    try:
        return work()
    except psycopg.errors.LockNotAvailable:
        session.roll_back()
    most, session.most_attempts = session.most_attempts, 1
    try:
        with Watch(target, None, session.conn.info.backend_pid) as watch:
            return work()
    except psycopg.errors.LockNotAvailable:
        session.roll_back()
    finally:
        session.most_attempts = most
    raise _held_up(session, what, watch.seen)


def _try_on(session: Session, work: Callable[[], object], watch: Watch) -> bool:
    for _ in range(MOST_ATTEMPTS):
        watch.look_anew()
        try:
            session.repeat(work, but_not=LOCKED)
        except psycopg.errors.LockNotAvailable:
            session.roll_back()
            if watch.seen and not any(blocker.is_ours for blocker in watch.seen):
                return False
        else:
            return True
    return False


def _held_up(session: Session, what: str, blockers: Sequence[Blocker]) -> HeldUp:
    relations = list(dict.fromkeys(blocker.relation for blocker in blockers if blocker.relation))
    for_what = f" for {', '.join(relations)}" if relations and relations != [what] else ""
    return HeldUp(
        f"{what} on “{session.target_name}” is held by somebody else.",
        why=f"It waits{for_what}: {'; '.join(blocker.in_words() for blocker in blockers)}." if blockers else "",
        todo=f"It is tried again by itself. {what_frees(blockers)}".strip(),
        sqlstate=LOCKED,
    )


def what_frees(blockers: Sequence[Blocker]) -> str:
    """Say what a person runs so that these hold nothing any more."""
    sessions = [blocker for blocker in blockers if blocker.pid]
    has_superuser = any(blocker.is_superuser for blocker in sessions)
    mend = [advice.finish_prepared(blocker.database, blocker.gid) for blocker in blockers if blocker.gid]
    if sessions:
        mend.append(advice.end_backends([blocker.pid for blocker in sessions], has_superuser=has_superuser))
    return advice.in_words(mend)
