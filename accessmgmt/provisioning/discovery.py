"""Finds the primary of a standby whose resource links none (postgres.md 7)."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import psycopg

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect import admin_connection
from accessmgmt.provisioning.statements_topology import READ_UPSTREAM
from accessmgmt.provisioning.topology import is_standby

KEPT_SECONDS = 30.0
LONGEST_CHAIN = 3

_found: dict[Target, tuple[float, Target]] = {}
_lock = threading.Lock()


def with_primary(target: Target, timeout_seconds: float = 10.0) -> Target:
    """Return the target with its primary filled in when it is a standby that links none; otherwise as it is.

    The standby says from where it streams; that server is believed when the standby's own credential logs in there, it
    is the same cluster and no standby itself. Costs nothing for a server that takes changes. The answer is kept for 30
    seconds, and forgotten when the standby is promoted.

    Raises TargetRefused (SQLSTATE 25006) when nothing can be proven: a person has to link the primary.
    """
    if target.primary is not None:
        return target
    with admin_connection(target, timeout_seconds=timeout_seconds) as conn:
        if not is_standby(conn):
            return target
        # What it said when we connected may be old: a promotion is told with the answer to the next query.
        cluster, upstream = _read_upstream(conn, target)
        if not is_standby(conn):
            return target
        with _lock:
            kept = _found.get(target)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return replace(target, primary=kept[1])
    primary = _prove(target, cluster, upstream, timeout_seconds)
    with _lock:
        _found[target] = (time.monotonic(), primary)
    return replace(target, primary=primary)


def _prove(target: Target, cluster: str, upstream: tuple[str, int], timeout_seconds: float) -> Target:
    """Follow the stream up to a server that is the same cluster and takes changes."""
    for _ in range(LONGEST_CHAIN):
        host, port = upstream
        candidate = replace(target, host=host, port=port, name=f"{target.name} (primary)")
        try:
            with admin_connection(candidate, timeout_seconds=timeout_seconds) as conn:
                found, upstream = _read_upstream(conn, candidate)
                if found != cluster:
                    raise _link_it(target, f"{host} port {port} is another cluster: its system identifier differs.")
                if not is_standby(conn):
                    return candidate
        except TargetError as error:
            if error.sqlstate == "25006":
                raise
            raise _link_it(target, f"It streams from {host} port {port}: {error.what} {error.why}".strip()) from None
    raise _link_it(target, f"It streams through more than {LONGEST_CHAIN} other standbys.")


def _read_upstream(conn: psycopg.Connection, target: Target) -> tuple[str, tuple[str, int]]:
    """Return the system identifier and where the server streams from; ("", 0) for one that takes changes."""
    row = conn.execute(READ_UPSTREAM.query.as_bytes(conn)).fetchall()[0]
    cluster, host, port = str(row[0]), row[1], row[2]
    if is_standby(conn) and not host:
        raise _link_it(
            target,
            "From where it streams is not to be read there: it does not stream now, or the admin role is no member of"
            " pg_monitor.",
        )
    return cluster, (str(host or ""), int(port or 0))


def _link_it(target: Target, why: str) -> TargetRefused:
    return TargetRefused(
        f"“{target.name}” is a standby, and its primary is not known: no role can be made.",
        why=why,
        todo="Link the resource of its primary in this one. On the standby, a superuser sees it with: SELECT"
        " sender_host, sender_port FROM pg_stat_wal_receiver;",
        sqlstate="25006",
    )
