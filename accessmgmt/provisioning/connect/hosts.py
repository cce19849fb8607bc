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


class FormerState(StrEnum):
    """What has become of the server that a resource links as its primary, in words."""

    STANDBY = "is a standby now"
    SILENT = "is out of reach"
    PARTED = "takes changes, too"


@dataclass(frozen=True, slots=True)
class Former:
    """What a resource links as its primary, where that link is out of date. People may have sessions there."""

    server: Target
    state: FormerState


@dataclass(frozen=True, slots=True)
class Servers:
    """Which servers a resource has now, and which of them takes changes.

    Roles are made on `writable`. `standby` is what the resource names where that replays the other one, which it links
    as its primary.
    """

    writable: Target
    standby: Target | None = None
    former: Former | None = None

    @property
    def named(self) -> Target:
        """What the resource names: people log in there."""
        return self.standby or self.writable

    def link_trouble(self) -> TargetRefused | None:
        """Say what is out of date about the link to a primary, if anything is, and what an admin does."""
        if self.former is None:
            return None
        name, former = self.named.name, f"“{self.former.server.name}”"
        if self.former.state is FormerState.PARTED:
            return TargetRefused(
                f"“{name}” and {former}, which it links as its primary, both take changes.",
                why="They are one cluster that has parted: what is given on one is not known on the other.",
                todo="Endings shut both. Shut down the one that is not to go on; then correct the link to a primary in"
                f" “{name}”, or take it out.",
                sqlstate="25006",
            )
        place = f"roles are made at {self.writable.host} port {self.writable.port}"
        where = place if self.standby is not None else "it takes changes itself"
        return TargetRefused(
            f"“{name}” links {former} as its primary, and that is out of date.",
            why=f"By now {where}, and {former} {self.former.state}. The portal goes on there.",
            todo=f"Correct the link to a primary in “{name}”, or take it out.",
        )

    def others(self, used: str) -> list[Target]:
        """Return the servers beside the one that was `used`, each as a target of its own.

        Those are the other hosts of a list, and the server that an outdated link leads to. People may have sessions
        there too: a client that cannot reach the first host of the list takes the next.
        """
        writable = _each_host(self.writable)
        found = [server for server in writable if server.host != used] if len(writable) > 1 else []
        standbys = self._standbys()
        found += standbys if len(standbys) > 1 else []  # only one of them was asked as the standby
        return found + (_each_host(self.former.server) if self.former is not None else [])

    def beside(self, used: str) -> list[Target]:
        """Return every known server of the cluster but the one that was `used` to make roles: standbys, too."""
        return list(dict.fromkeys(self._standbys() + self.others(used)))

    def _standbys(self) -> list[Target]:
        return _each_host(self.standby) if self.standby is not None else []


def as_linked(target: Target) -> Servers:
    """Return the servers of a resource as its own link to a primary says."""
    return Servers(target) if target.primary is None else Servers(target.primary, target)


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
