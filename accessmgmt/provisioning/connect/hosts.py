"""Which server of several is asked: the one that took changes last, then the others, in the list's order.

A server says by itself whether it is a standby (`in_hot_standby`, reported at connect since PostgreSQL 14), so a list
is followed through a failover without asking any question: https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

import psycopg

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.reach import hosts_of
from accessmgmt.provisioning.connect.secrets_manager import resolve_target

_last: dict[tuple[int, str, int], str] = {}
_lock = threading.Lock()


class Former(StrEnum):
    """What has become of the server that a resource links as its primary, in words."""

    STANDBY = "is a standby now"
    SILENT = "is out of reach"
    PARTED = "takes changes, too"


@dataclass(frozen=True, slots=True)
class Relinked(Target):
    """A target whose link to a primary is out of date: its `primary` is the true one, None when that is itself.

    `former` is the server that the resource links. People may have sessions there.
    """

    former: Target | None = None
    state: Former = Former.SILENT

    def explained(self) -> TargetRefused:
        """Say what is out of date, and what an admin does."""
        former = f"“{self.former.name}”" if self.former else "its primary"
        if self.state is Former.PARTED:
            return TargetRefused(
                f"“{self.name}” and {former}, which it links as its primary, both take changes.",
                why="They are one cluster that has parted: what is given on one is not known on the other.",
                todo="Endings shut both. Shut down the one that is not to go on; then correct the link to a primary in"
                f" “{self.name}”, or take it out.",
                sqlstate="25006",
            )
        itself = "it takes changes itself"
        where = f"roles are made at {self.primary.host} port {self.primary.port}" if self.primary else itself
        return TargetRefused(
            f"“{self.name}” links {former} as its primary, and that is out of date.",
            why=f"By now {where}, and {former} {self.state}. The portal goes on there.",
            todo=f"Correct the link to a primary in “{self.name}”, or take it out.",
        )


def relinked(target: Target, former: Target, state: Former) -> Relinked:
    """Return the target, whose `primary` is the true one, with the server that it links."""
    return Relinked(**{field.name: getattr(target, field.name) for field in fields(Target)}, former=former, state=state)


def link_notes(target: Target) -> list[str]:
    """Return what a receipt says about the target's link to a primary: nothing while it holds."""
    return [str(target.explained())] if isinstance(target, Relinked) else []


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
    """Return the servers beside the one that was `used`, each as a target of its own.

    Those are the other hosts of a list, and the server that an outdated link leads to. People may have sessions there
    too: a client that cannot reach the first host of the list takes the next.
    """
    writable = _each_host(target.primary or target)
    others = [server for server in writable if server.host != used] if len(writable) > 1 else []
    standbys = _each_host(target) if target.primary else []
    others += standbys if len(standbys) > 1 else []  # only one of them was asked as the standby
    if isinstance(target, Relinked) and target.former is not None:
        others += _each_host(target.former)
    return others


def servers_beside(target: Target, used: str) -> list[Target]:
    """Return every known server of the cluster but the one that was `used` to make roles: standbys, too."""
    standbys = _each_host(target) if target.primary else []
    return list(dict.fromkeys(standbys + other_hosts(target, used)))


def _each_host(target: Target) -> list[Target]:
    """Return each host as a target of its own, without a link. The hosts may stand in the target's secret."""
    hosts = hosts_of(resolve_target(target))
    facts = {field.name: getattr(target, field.name) for field in fields(Target)}
    names = {host: f"{target.name} at {host}" if len(hosts) > 1 else target.name for host in hosts}
    return [Target(**{**facts, "host": host, "name": name, "primary": None}) for host, name in names.items()]


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
