"""Judges the door of a login that an ending left open: whether anybody could shut it, and what is still behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg

from tests.hostile.advice import read_advice
from tests.hostile.checker import PORTAL

Membership = tuple[str, str]
"""A granted role, and who gave it."""
GRANTORS_SINCE = 16
"""Then only a grantor, or who has that role's rights, takes a membership back; before that, whoever has CREATEROLE."""


def is_stuck(dba: psycopg.Connection, role: str) -> bool:
    """Whether the portal cannot change the role at all: then there must be nothing behind the door.

    Somebody holds its row, a prepared transaction say, or (up to 15) a superuser gave it what only they may touch.
    """
    with _undone(dba):
        try:
            dba.execute(f'ALTER ROLE "{role}" CONNECTION LIMIT 0')  # type: ignore[arg-type]
        except psycopg.errors.LockNotAvailable:
            return True
        (is_high,) = dba.execute(
            "SELECT rolreplication OR rolsuper FROM pg_authid WHERE rolname = %s", [role]
        ).fetchall()[0]
        return bool(is_high) and not _has_grantors(dba)


def what_may_be_taken(dba: psycopg.Connection, role: str, told: str) -> set[Membership]:
    """Return the memberships of a login that should be gone, though its door is stuck.

    Not those that a lock keeps from everybody, superusers as well; and not those that others than the portal gave,
    which it may not take from 16 on, if what it tells to run takes them.
    """
    left = _memberships(dba, role)
    free = {one for one in left if one not in _after(dba, role, [_take(dba, role, one)])}
    revokes = [text for advised in read_advice(told) for text in advised.statements if text.startswith("REVOKE ")]
    not_told = _after(dba, role, revokes)
    return {one for one in free if one in not_told or one[1] in PORTAL or not _has_grantors(dba)}


def _has_grantors(dba: psycopg.Connection) -> bool:
    return dba.info.server_version >= GRANTORS_SINCE * 10_000


def _take(dba: psycopg.Connection, role: str, membership: Membership) -> str:
    granted, grantor = membership
    by = f' GRANTED BY "{grantor}"' if _has_grantors(dba) else ""
    return f'REVOKE "{granted}" FROM "{role}"{by} CASCADE'


def _memberships(dba: psycopg.Connection, role: str) -> set[Membership]:
    query = (
        "SELECT pg_get_userbyid(m.roleid)::text, pg_get_userbyid(m.grantor)::text"
        " FROM pg_auth_members m JOIN pg_authid r ON r.oid = m.member WHERE r.rolname = %s"
    )
    return set(dba.execute(query, [role]).fetchall())


def _after(dba: psycopg.Connection, role: str, statements: Iterable[str]) -> set[Membership]:
    """Return what a role would be a member of after a superuser's statements; locks may let none of them through."""
    with _undone(dba):
        for statement in statements:
            dba.execute("SAVEPOINT s")
            try:
                dba.execute(statement)  # type: ignore[arg-type]
            except psycopg.errors.LockNotAvailable:
                dba.execute("ROLLBACK TO s")
        return _memberships(dba, role)


@contextmanager
def _undone(dba: psycopg.Connection) -> Iterator[None]:
    dba.execute("BEGIN; SET LOCAL lock_timeout = '500ms'")
    try:
        yield
    finally:
        dba.execute("ROLLBACK")
