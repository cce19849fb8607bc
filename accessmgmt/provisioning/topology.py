"""Which server of a list of hosts is asked: the one that took changes last, then the others, in the list's order.

A server says by itself whether it is a standby (`in_hot_standby`, reported at connect since PostgreSQL 14), so a list
is followed through a failover without asking any question: https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import psycopg

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.diagnosis import hosts_of

_last: dict[tuple[int, str, int], str] = {}
_lock = threading.Lock()


def hosts_in_order(target: Target) -> list[str]:
    """Return the target's hosts, the one that was good last first: a dead host before it would cost seconds."""
    hosts = hosts_of(target)
    with _lock:
        last = _last.get(_key(target))
    return [last, *(host for host in hosts if host != last)] if last in hosts else hosts


def remember_host(target: Target, host: str) -> None:
    """Ask this host first from now on."""
    with _lock:
        _last[_key(target)] = host


def forget_host(target: Target) -> None:
    """Ask in the list's order again: the host that was good is lost, or takes no changes any more."""
    with _lock:
        _last.pop(_key(target), None)


def has_several_hosts(target: Target) -> bool:
    """Say whether the target's host is a list."""
    return len(hosts_of(target)) > 1


def wants_primary(target: Target) -> bool:
    """Say whether only a server that takes changes will do: a list of hosts that is not a standby's."""
    return target.primary is None and has_several_hosts(target)


def other_hosts(target: Target, used: str) -> list[Target]:
    """Return, for a list of hosts, the servers beside the one that was `used`, each as a target of its own.

    People may have sessions there too: a client that cannot reach the first host of the list takes the next.
    """
    if not wants_primary(target):
        return []
    return [replace(target, host=host, name=f"{target.name} at {host}") for host in hosts_of(target) if host != used]


def is_standby(conn: psycopg.Connection) -> bool:
    """Say whether the server replays another one, as it told when we connected or when that changed."""
    return conn.info.parameter_status("in_hot_standby") == "on"


def none_takes_changes(target: Target, found: Mapping[str, str]) -> TargetUnavailable:
    """Say that no host of the list takes changes. `found` maps each host to what was found there."""
    return TargetUnavailable(
        f"No server of “{target.name}” takes changes now.",
        why="; ".join(f"{host}: {what}" for host, what in found.items()) + ".",
        todo="It is tried again, and goes on as soon as one of them is promoted or answers.",
    )


def _key(target: Target) -> tuple[int, str, int]:
    return target.resource_id, target.host, target.port
