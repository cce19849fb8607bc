"""The one place through which apply and end send statements to a target."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import dict_row

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.provisioning.session.deadline import Budget, out_of_time
from accessmgmt.provisioning.session.explain import explain, is_lost, is_worth_repeating
from accessmgmt.provisioning.session.missing_rights import Missing, as_sentence, missing_in
from accessmgmt.provisioning.statements.advice import in_words
from accessmgmt.provisioning.statements.base import COMMIT, Prepared, Statement
from accessmgmt.provisioning.statements.servers import read_preflight

Row = dict[str, Any]
Result = TypeVar("Result")

MOST_ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.02
MAY_NOT = "42501"
SYNTAX = "42601"
NOT_GRANTED = "01007"  # "no privileges were granted": a GRANT that succeeds and does nothing

before_statement: Callable[[str], None] | None = None
"""Tests set this to kill the process at a boundary. It gets each statement's description just before sending."""


def announce(description: str) -> None:
    """Pass the boundary before a statement."""
    if before_statement is not None:
        before_statement(description)


_clusters: WeakKeyDictionary[psycopg.Connection, str] = WeakKeyDictionary()


def remember_cluster(conn: psycopg.Connection, cluster: str) -> None:
    """Keep, as long as the connection lives, which cluster it leads to."""
    _clusters[conn] = cluster


_prepared_on: WeakKeyDictionary[psycopg.Connection, set[str]] = WeakKeyDictionary()


class Interrupted(TargetUnavailable):
    """The connection went away in the middle: the state has to be read from the top on a new one."""


class Repeat(Exception):
    """What was found has changed meanwhile: read it again and go on."""


class _Counting(psycopg.Cursor[Row]):
    """A cursor that knows how many statements of its message were done, also when the next one failed."""

    done = 0

    def _check_results(self, results: list[PGresult]) -> None:
        self.done = sum(result.status in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK} for result in results)
        super()._check_results(results)


class Session:
    """A connection to a target while an engine call uses it: statements with names, errors with meaning.

    With `installation` a refusal can also name the roles of this portal on which the admin role lacks a right.
    """

    def __init__(
        self, conn: psycopg.Connection, *, target_name: str, budget: Budget, installation: Installation | None = None
    ) -> None:
        self.conn = conn
        self.target_name = target_name
        self.budget = budget
        self.installation = installation
        self.server_version = conn.info.server_version // 10_000
        self.most_attempts = MOST_ATTEMPTS
        self._notices: list[str] = []

    @property
    def cluster(self) -> str:
        """The server's system identifier, which its standbys share and no other has; "" where it may not be read."""
        return _clusters.get(self.conn, "")

    def ask(self, statement: Statement, values: Mapping[str, object] | None = None) -> list[Row]:
        """Run one query and return its rows."""
        announce(statement.description)
        with self._explained(statement):
            return self._cursor().execute(_query(statement), values).fetchall()

    def ask_prepared(self, questions: Sequence[tuple[Prepared, Mapping[str, object]]]) -> list[list[Row]]:
        """Run prepared queries in one round trip and return the rows of each; plan them on first use."""
        self.prepare([query for query, _ in questions])
        return self.send([query.execute(values) for query, values in questions])

    def ask_one(self, query: Prepared, values: Mapping[str, object]) -> list[Row]:
        """Run one prepared query and return its rows."""
        return self.ask_prepared([(query, values)])[0]

    def prepare(self, queries: Sequence[Prepared]) -> None:
        """Plan queries that this connection does not know yet, so that they can be part of a message."""
        known = _prepared_on.setdefault(self.conn, set())
        if fresh := [query for query in queries if query.name not in known]:
            self.send([query.prepare() for query in fresh])
            known.update(query.name for query in fresh)

    def send(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Run statements as one message of the simple protocol; return the rows of each (none for commands).

        One message is all or nothing on its way: a worker that is stopped in the middle cannot leave the server
        waiting between a guard and its COMMIT. After an error an open transaction is rolled back.
        """
        self._notices.clear()
        for statement in statements:
            announce(statement.description)
        text = b"; ".join(_query(statement).as_bytes(self.conn) for statement in statements)
        self.budget.check()
        cursor = _Counting(self.conn, row_factory=dict_row)
        try:
            cursor.execute(text, prepare=False)
        except psycopg.Error as error:
            failed = _failed(statements, cursor.done, error)
            error._statement = (failed.description, failed.is_secret)  # type: ignore[attr-defined]
            raise
        else:
            results = [_rows(cursor)]
            while cursor.nextset():
                results.append(_rows(cursor))
            return results

    def roll_back(self) -> None:
        """Leave a transaction, if the connection is in one."""
        if not self.conn.closed and self.conn.info.transaction_status is not TransactionStatus.IDLE:
            self.conn.rollback()

    def repeat(self, work: Callable[[], Result], *, but_not: str = "") -> Result:
        """Do a piece of work that starts a transaction of its own, again when somebody else got in its way.

        `but_not` is an SQLSTATE that is not tried again here.
        """
        for attempt in range(1, self.most_attempts + 1):
            try:
                return work()
            except psycopg.Error as error:
                is_hopeless = not is_worth_repeating(error) or is_lost(error) or error.sqlstate == but_not
                if attempt == self.most_attempts or is_hopeless:
                    raise
                self.roll_back()
            wait_a_little(attempt, self.budget)
        raise AssertionError("unreachable")

    def was_not_granted(self) -> bool:
        """Say whether the last message brought a warning that privileges were not granted."""
        return NOT_GRANTED in self._notices

    @contextmanager
    def open(self) -> Iterator[None]:
        """Watch the clock and listen to warnings while the session is used."""

        def keep(diagnostic: psycopg.errors.Diagnostic) -> None:
            self._notices.append(diagnostic.sqlstate or "")

        self.conn.add_notice_handler(keep)
        try:
            with self.budget.watch(self.conn):
                try:
                    yield
                finally:
                    with suppress(psycopg.Error):  # while somebody watches: the server may never answer this either
                        self.roll_back()
        except psycopg.Error as error:
            raise self.explained(error) from None
        finally:
            self.conn.remove_notice_handler(keep)

    def explained(self, error: psycopg.Error, todo: str = "") -> TargetError:
        """Translate an error that carries the description of its statement."""
        if self.budget.remaining_seconds <= 0 and is_lost(error):
            return out_of_time(self.budget.seconds)
        description, is_secret = getattr(error, "_statement", ("run a statement", False))
        found = explain(error, target_name=self.target_name, description=description, is_secret=is_secret, todo=todo)
        if is_lost(error):
            return Interrupted(found.what, why=found.why, todo=found.todo, sqlstate=found.sqlstate)
        return found if todo or error.sqlstate != MAY_NOT else self._with_what_is_lacking(found)

    def missing_rights(self) -> list[Missing]:
        """Ask the server what the resource's credential lacks there; nothing is missing for a superuser."""
        if self.conn.info.parameter_status("is_superuser") == "on":
            return []
        row = self.ask(read_preflight(self.server_version))[0]
        marked = (text.rsplit("\n", 1) for text in row["not_administered"])
        ours = [name for name, tag in marked if self.installation is not None and self.installation.read_tag(tag, name)]
        return missing_in({**row, "not_administered": ours}, self.server_version)

    def _with_what_is_lacking(self, refusal: TargetError) -> TargetError:
        """Say which right the admin credential lacks, with the SQL that gives it, where the preflight finds one."""
        missing: list[Missing] = []
        with suppress(psycopg.Error, TargetError):
            self.roll_back()
            missing = self.missing_rights()
        if not missing:
            return refusal
        why, todo = f"{refusal.why} {as_sentence(missing)}", in_words(item.advice for item in missing)
        return TargetRefused(refusal.what, why=why, todo=todo, sqlstate=refusal.sqlstate)

    def _cursor(self) -> psycopg.Cursor[Row]:
        return self.conn.cursor(row_factory=dict_row)

    @contextmanager
    def _explained(self, statement: Statement) -> Iterator[None]:
        self.budget.check()
        try:
            yield
        except psycopg.Error as error:
            error._statement = (statement.description, statement.is_secret)  # type: ignore[attr-defined]
            raise


def wait_a_little(attempt: int, budget: Budget) -> None:
    """Wait 20 ms after the first attempt and twice as long after each next one, with jitter."""
    pause = random.uniform(0.5, 1) * FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)  # noqa: S311
    time.sleep(min(pause, budget.check()))


def _query(statement: Statement) -> Any:
    return statement.query


def _failed(statements: Sequence[Statement], done: int, error: psycopg.Error) -> Statement:
    """Return the statement of a message that failed: the one behind those that were done.

    Where nobody knows it (a lost connection, a message that does not parse as a whole) the first that is more than a
    bracket names the message, and its words are kept back when any of it is secret.
    """
    if error.sqlstate is not None and error.sqlstate != SYNTAX and done < len(statements):
        failed = statements[done]
        if not failed.is_bracket or failed is COMMIT:
            return failed
    first = next((statement for statement in statements if not statement.is_bracket), statements[0])
    return replace(first, is_secret=any(statement.is_secret for statement in statements))


def _rows(cursor: psycopg.Cursor[Row]) -> list[Row]:
    return cursor.fetchall() if cursor.description else []
