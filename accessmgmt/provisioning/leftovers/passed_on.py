"""Takes back what a login or a capability role passed on of a privilege that it holds WITH GRANT OPTION.

Only a DBA gives such an option; then the role, or each of its members, may give in its name. REVOKE ... CASCADE from
the role takes most of that back, but leaves what was given on single columns by virtue of a privilege on the whole
table: only the role itself may revoke that, and only as long as it holds the option. So the role does it, in a
transaction in which the portal acts as the role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

import psycopg

from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements.base import COMMIT, Statement
from accessmgmt.provisioning.statements.chains import (
    READ_ME,
    act_as,
    let_pass_on,
    no_more_passing_on,
    read_entries,
    step_out,
    take_back,
)
from accessmgmt.provisioning.statements.ending import step_into
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY, CHUNK_SIZE

Run = Callable[[Sequence[Statement]], list[list[Row]]]
"""Runs statements as one transaction, and returns the rows of each."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What a role gave to somebody of an object that is not its own. All names are quoted by the server."""

    grantor: str
    grantee: str
    kind: str
    name: str
    privileges: tuple[str, ...]

    @property
    def gift(self) -> tuple[str, str, str, str, tuple[str, ...]]:
        """What an advice needs that takes it back."""
        return self.grantor, self.kind, self.name, self.grantee, self.privileges

    def in_words(self) -> str:
        """Say who loses what, for a receipt."""
        return f"{self.grantee} lost {', '.join(self.privileges)} on {self.kind.lower()} {self.name}"


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What others lost, whole chains of it, and what of it is still there: only a superuser can take that back."""

    lost: list[PassedOn] = field(default_factory=list)
    left: list[PassedOn] = field(default_factory=list)


def find_passed_on(session: Session, oids: Sequence[int]) -> list[PassedOn]:
    """Return what these roles passed on, in the connected database and of shared objects, step by step of a chain."""
    return passed_on_by(session.send([read_entries(oids, session.server_version)])[0], oids)


def passed_on_by(rows: Sequence[Row], oids: Sequence[int]) -> list[PassedOn]:
    """Return what these roles passed on, by the rows of read_entries; not what goes with another session."""
    return gifts_in(row for oid in oids for row in _chain(rows, oid) if not row["is_temporary"])


def gifts_in(rows: Iterable[Row]) -> list[PassedOn]:
    """Return these rows of read_entries with the privileges of each object, grantor and grantee together."""
    privileges: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for row in rows:
        key = (row["grantor"], row["grantee"], row["kind"], row["name"])
        privileges.setdefault(key, {})[row["privilege"]] = None
    return [PassedOn(*key, tuple(names)) for key, names in privileges.items()]


def take_back_passed_on(session: Session, name: str, oid: int, run: Run | None = None) -> TakenBack:
    """Let a role of the portal take back what it passed on.

    The role keeps what it holds, without the right to pass it on. What is in another session's temporary schema goes
    with that session.
    """
    found = [row for row in _chain(_read(session, oid), oid) if not row["is_temporary"]]
    if not found:
        return TakenBack()
    giver = _Giver(session, name, oid, str(session.ask(READ_ME)[0]["name"]), run or partial(_run_briefly, session))
    left = gifts_in(row for row in found if row["grantor_oid"] == oid)
    for way in _Way:
        chunks = [left[start : start + CHUNK_SIZE] for start in range(0, len(left), CHUNK_SIZE)]
        left = [entry for chunk in chunks for entry in _take_back(giver, chunk, way)]
    kept = {_key(row) for row in _read(session, oid)} if left else set()
    return TakenBack(gifts_in(row for row in found if _key(row) not in kept), left)


class _Way(Enum):
    """How it is taken back, in this order.

    The role itself is refused where it may pass on columns and has nothing of the table, or may not see the schema any
    more: then the owner takes the right to pass on, and what hangs on that goes with it. Where somebody had taken
    that right before, the role gets it anew for a moment.
    """

    BY_ITSELF = auto()
    BY_THE_OWNER = auto()
    LENT = auto()


@dataclass(frozen=True, slots=True)
class _Giver:
    """The role that passed something on, and as whom we make it take that back."""

    session: Session
    name: str
    oid: int
    me: str
    run: Run


def _read(session: Session, oid: int) -> list[Row]:
    return session.send([read_entries([oid], session.server_version)])[0]


def _run_briefly(session: Session, statements: Sequence[Statement]) -> list[list[Row]]:
    return session.repeat(partial(session.send, [*BEGIN_BRIEFLY, *statements, COMMIT]))


def _take_back(giver: _Giver, entries: Sequence[PassedOn], way: _Way) -> list[PassedOn]:
    """Take back in one transaction, or one by one where something is refused; return what had no effect.

    Inside the transaction it is looked at what is left: nobody can pass it on anew before that.
    """
    name, version = giver.name, giver.session.server_version
    own = [] if giver.session.conn.info.parameter_status("is_superuser") == "on" else [name]
    statements: list[Statement] = [step_into(role, version, with_set=True) for role in own]
    if way is _Way.LENT:
        statements += [let_pass_on(entry.privileges, entry.kind, entry.name, name) for entry in entries]
    if way is not _Way.BY_THE_OWNER:
        statements += [act_as(name), *(take_back(e.privileges, e.kind, e.name, e.grantee) for e in entries)]
    statements += [act_as(giver.me), *(no_more_passing_on(e.privileges, e.kind, e.name, name) for e in entries)]
    statements += [step_out(role) for role in own]
    try:
        results = giver.run([*statements, read_entries([giver.oid], version)])
    except psycopg.Error as error:
        if is_lost(error) or error.sqlstate != "42501":
            raise
        giver.session.roll_back()
        if len(entries) == 1:
            return list(entries)
        return [left for entry in entries for left in _take_back(giver, [entry], way)]
    still = {(row["kind"], row["name"], row["grantee"]) for row in _given(results, giver.oid)}
    return [entry for entry in entries if (entry.kind, entry.name, entry.grantee) in still]


def _given(results: Iterable[Sequence[Row]], oid: int) -> Iterator[Row]:
    """Yield what a role is the grantor of, of the rows of read_entries, the only ones among these results."""
    return (row for rows in results for row in rows if row["grantor_oid"] == oid)


def _chain(rows: Sequence[Row], oid: int) -> Iterator[Row]:
    """Yield what a role gave of others' objects, and what those it gave to passed on by virtue of that alone."""
    givers, seen = [oid], {oid}
    while givers:
        giver = givers.pop()
        for row in rows:
            if row["grantor_oid"] != giver or row["owner"] in {giver, oid}:
                continue
            yield row
            if row["is_grantable"] and row["grantee_oid"] not in seen and not _has_it_elsewhere(rows, row, seen):
                seen.add(row["grantee_oid"])
                givers.append(row["grantee_oid"])


def _has_it_elsewhere(rows: Sequence[Row], entry: Row, givers: set[int]) -> bool:
    return any(
        _object(row) == _object(entry)
        and row["privilege"] == entry["privilege"]
        and row["grantee_oid"] == entry["grantee_oid"]
        and row["is_grantable"]
        and row["grantor_oid"] not in givers
        for row in rows
    )


def _object(row: Row) -> tuple[int, int]:
    return row["classid"], row["objid"]


def _key(row: Row) -> tuple[int, int, int, int, str]:
    return (*_object(row), row["grantor_oid"], row["grantee_oid"], row["privilege"])
