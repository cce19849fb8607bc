"""Takes back what a login or a capability role passed on of a privilege that it holds WITH GRANT OPTION.

Only a DBA gives such an option; then the role, or each of its members, may give in its name. REVOKE ... CASCADE from
the role takes most of that back, but leaves what was given on single columns by virtue of a privilege on the whole
table: only the role itself may revoke that, and only as long as it holds the option. So the role does it, in a
transaction in which the portal acts as the role.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import psycopg

from accessmgmt.provisioning.execute import Row, Session
from accessmgmt.provisioning.failures import is_lost
from accessmgmt.provisioning.statements import COMMIT, Statement
from accessmgmt.provisioning.statements_end import step_into
from accessmgmt.provisioning.statements_locks import BEGIN_BRIEFLY
from accessmgmt.provisioning.statements_privileges import (
    READ_ME,
    act_as,
    let_pass_on,
    no_more_passing_on,
    read_entries,
    step_out,
    take_back,
)

CHUNK_SIZE = 200


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What a role gave to somebody of an object that is not its own. All names are quoted by the server."""

    grantor: str
    grantee: str
    kind: str
    name: str
    privileges: tuple[str, ...]

    def in_words(self) -> str:
        """Say who loses what, for a receipt."""
        return f"{self.grantee} lost {', '.join(self.privileges)} on {self.kind.lower()} {self.name}"


def find_passed_on(session: Session, oids: Sequence[int]) -> list[PassedOn]:
    """Return what these roles passed on, in the connected database and of shared objects, step by step of a chain."""
    rows = session.send([read_entries(oids, session.server_version)])[0]
    return _summed(row for oid in oids for row in _chain(rows, oid))


def take_back_passed_on(
    session: Session, name: str, oid: int, *, beginning: Sequence[Statement] = BEGIN_BRIEFLY
) -> list[PassedOn]:
    """Let a role of the portal take back what it passed on; return what others lost by that, whole chains of it.

    The role keeps what it holds, without the right to pass it on. What we may not act on is left: who wants the role
    to be gone finds it with its dependencies.
    """
    rows = session.send([read_entries([oid], session.server_version)])[0]
    found = [row for row in _chain(rows, oid) if not row["is_temporary"]]
    if not found:
        return []
    me = str(session.ask(READ_ME)[0]["name"])
    for is_forced in (False, True):
        direct = _summed(row for row in found if row["grantor_oid"] == oid)
        for start in range(0, len(direct), CHUNK_SIZE):
            _take_back(session, name, me, direct[start : start + CHUNK_SIZE], beginning, is_forced=is_forced)
        left = session.send([read_entries([oid], session.server_version)])[0]
        if not any(row["grantor_oid"] == oid and row["owner"] != oid for row in left):
            left = []
            break
    kept = {_key(row) for row in left}
    return _summed(row for row in found if _key(row) not in kept)


def _take_back(
    session: Session,
    name: str,
    me: str,
    entries: Sequence[PassedOn],
    beginning: Sequence[Statement],
    *,
    is_forced: bool,
) -> None:
    """Take back in one transaction, or one by one where something is refused.

    `is_forced` gives the role the right to pass on anew, which somebody has taken from it meanwhile.
    """
    own = [] if session.conn.info.parameter_status("is_superuser") == "on" else [name]
    statements: list[Statement] = [step_into(role, session.server_version, with_set=True) for role in own]
    if is_forced:
        statements += [let_pass_on(entry.privileges, entry.kind, entry.name, name) for entry in entries]
    statements += [act_as(name), *(take_back(entry.kind, entry.name, entry.grantee) for entry in entries), act_as(me)]
    statements += [no_more_passing_on(entry.kind, entry.name, name) for entry in entries]
    statements += [step_out(role) for role in own]
    try:
        session.repeat(partial(session.send, [*beginning, *statements, COMMIT]))
    except psycopg.Error as error:
        if is_lost(error) or error.sqlstate != "42501":
            raise
        session.roll_back()
        for entry in entries if len(entries) > 1 else ():
            _take_back(session, name, me, [entry], beginning, is_forced=is_forced)


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


def _summed(rows: Iterator[Row]) -> list[PassedOn]:
    privileges: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for row in rows:
        key = (row["grantor"], row["grantee"], row["kind"], row["name"])
        privileges.setdefault(key, {})[row["privilege"]] = None
    return [PassedOn(*key, tuple(names)) for key, names in privileges.items()]
