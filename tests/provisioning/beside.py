"""Work that comes between: it begins when the engine is about to commit something, and waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements.base import Statement
from tests.provisioning.conftest import Shop


class Beside(threading.Thread):
    """Work on a shop's database in a thread of its own."""

    def __init__(self, shop: Shop, work: Callable[[], object]) -> None:
        super().__init__()
        self.shop, self.work = shop, work
        self.outcome: object = "never began"

    def run(self) -> None:
        self.outcome = "it hangs"
        self.outcome = self.work()

    def begin(self) -> None:
        """Start, and return when it waits for a lock, or is over."""
        self.start()
        self.await_blocked()

    def await_blocked(self) -> None:
        """Return when it waits for a lock, or is over."""
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND cardinality(pg_blocking_pids(pid)) > 0"
        until = time.monotonic() + 60
        with self.shop.as_dba() as dba:
            while self.is_alive() and time.monotonic() < until:
                if dba.execute(waiting, [self.shop.database]).fetchone() != (0,):
                    return

    def end(self) -> object:
        """Return what came of it."""
        if self.ident is not None:
            self.join(120)
        return self.outcome


def before_the_commit(
    monkeypatch: pytest.MonkeyPatch, description: str, begin: Callable[[], None], *, last: str = "commit"
) -> None:
    """Call once when the engine has done what is described, in a transaction that it is about to commit.

    `last` is "roll back" for one that it takes back.
    """
    send = Session.send
    has_done = has_begun = False

    def pausing(self: Session, statements: Sequence[Statement]) -> list[list[Row]]:
        nonlocal has_done, has_begun
        words = [statement.description for statement in statements]
        has_done = description in words or (has_done and "begin" not in words)
        if last not in words or not has_done or has_begun:
            return send(self, statements)
        has_begun = True
        end = words.index(last)
        done = send(self, statements[:end]) if end else []
        begin()
        return done + send(self, statements[end:])

    monkeypatch.setattr(Session, "send", pausing)
