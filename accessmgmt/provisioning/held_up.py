"""Work of an ending that waits for a lock which somebody else holds, for as long as they like.

A person may hold up the ending of a colleague with an open transaction: an uncommitted GRANT to the colleague's login,
or a look at its address, locks it. So whoever keeps an ending waiting for a second is cut, if it is a session of a
login that the portal made; anybody else is named.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import dict_row

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.connect import admin_connection
from accessmgmt.provisioning.execute import Row, Session
from accessmgmt.provisioning.statements_end import cut_blockers, read_blockers

LOCKED = "55P03"
PATIENCE_SECONDS = 1.0
"""How long a login of the portal may keep an ending waiting; the first half of it is the first attempt's own wait."""
MOST_ATTEMPTS = 8
PAUSE_SECONDS = 0.03
CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that held a lock (pid 0: a prepared transaction).

    `is_ours` is one of a login of the portal, `is_superuser` one that only a superuser may end.
    """

    pid: int
    role: str
    application_name: str
    since: datetime | None
    is_ours: bool
    is_superuser: bool = False

    def in_words(self) -> str:
        """Say who it is."""
        if not self.pid:
            return "a prepared transaction (pg_prepared_xacts lists them)"
        name = f" “{self.application_name}”" if self.application_name else ""
        since = f", in a transaction since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"the session{name} of {self.role or 'a role that is gone'} (pid {self.pid}{since})"


class HeldUp(TargetUnavailable):
    """Somebody who is not ours to cut keeps an ending waiting."""


@dataclass(slots=True)
class Watch:
    """Looks, over a second connection, at who keeps the first one waiting; cuts our logins once patience is over."""

    target: Target
    installation: Installation | None
    pid: int
    seen: dict[int, Blocker] = field(default_factory=dict)
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
            Blocker(
                row["pid"], row["role"], row["application_name"], row["since"], self._is_ours(row), row["is_superuser"]
            )
            for row in cursor.execute(read_blockers(self.pid).query.as_bytes(conn)).fetchall()
        ]
        self.seen |= {blocker.pid: blocker for blocker in found}
        if is_cutting and (ours := {blocker.pid: blocker for blocker in found if blocker.is_ours}):
            cut = cursor.execute(cut_blockers(self.pid, list(ours)).query.as_bytes(conn)).fetchall()
            self.cut |= {row["pid"]: ours[row["pid"]] for row in cut}

    def _is_ours(self, row: Row) -> bool:
        tag = self.installation.read_tag(row["tag"], row["role"]) if self.installation is not None else None
        return tag is not None and tag.kind == "grant"


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
        raise _held_up(session, what, list(watch.seen.values()))
    return list(watch.cut.values())


def _try_on(session: Session, work: Callable[[], object], watch: Watch) -> bool:
    for _ in range(MOST_ATTEMPTS):
        watch.seen.clear()
        try:
            session.repeat(work, but_not=LOCKED)
        except psycopg.errors.LockNotAvailable:
            session.roll_back()
            if watch.seen and not any(blocker.is_ours for blocker in list(watch.seen.values())):
                return False
        else:
            return True
    return False


def _held_up(session: Session, what: str, blockers: list[Blocker]) -> HeldUp:
    sessions = [blocker for blocker in blockers if blocker.pid]
    has_superuser = any(blocker.is_superuser for blocker in sessions)
    mend = advice.end_backends([blocker.pid for blocker in sessions], has_superuser=has_superuser) if sessions else ""
    return HeldUp(
        f"{what} on “{session.target_name}” is held by somebody else.",
        why=f"It waits for {'; '.join(blocker.in_words() for blocker in blockers)}." if blockers else "",
        todo=f"It is tried again by itself. {mend}".strip(),
        sqlstate=LOCKED,
    )
