"""Finds the server on which a resource's roles are made: itself, the primary that it links, or another.

A link is believed as long as it holds. After a failover the two servers that it names are asked what they are; both
prove by their system identifier that they are one cluster.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import admin_connection, admin_session, forget_connections
from accessmgmt.provisioning.connect.hosts import Former, FormerState, Servers, as_linked, is_standby
from accessmgmt.provisioning.connect.reach import knock
from accessmgmt.provisioning.connect.secrets_manager import resolve_target
from accessmgmt.provisioning.session.conversation import Interrupted
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.servers import READ_PLACE

KEPT_SECONDS = 30.0
LONGEST_CHAIN = 3
KNOCK_SECONDS = 1.0
PLACE_SECONDS = 5.0  # how long one server of several may take to say what it is: the others are asked as well

_found: dict[Target, tuple[float, Target]] = {}
_reached: dict[Target, tuple[float, bool]] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Place:
    """A server's place among others: its cluster, and from where it streams (("", 0) when it does not, or won't say).

    `cluster` is the system identifier, which a primary and its standbys share and no other server has; "" where it may
    not be read.
    """

    cluster: str
    is_standby: bool
    upstream: tuple[str, int]


def find_servers(target: Target, timeout_seconds: float = 10.0, *, for_ending: bool = False) -> Servers:
    """Return which servers the resource has now, and on which of them its roles are made.

    A standby that links none says from where it streams; that server is believed when the standby's own credential logs
    in there, it is the same cluster and no standby itself. The answer is kept for 30 seconds, and forgotten when the
    standby is promoted. Where a link does not hold any more:

    - the target takes changes, and what it links is a standby of the same cluster, or out of reach: roles are made on
      the target itself;
    - both take changes (the cluster has parted): nothing is given or mended; `for_ending` the target itself, and what
      it links is ended on as well;
    - both are standbys, or the target is one and what it links is out of reach: wherever the target streams from.

    Nothing is guessed when the target does not answer: its link is believed, unless what it links is a standby.
    `timeout_seconds` is for all servers together. Raises TargetUnavailable when it is over, and TargetRefused
    (SQLSTATE 25006) when nothing can be proven: a person has to link the primary.
    """
    budget = Budget(timeout_seconds)
    if target.primary is not None:
        return _with_linked(target, target.primary, budget, for_ending=for_ending)
    with admin_connection(target, timeout_seconds=budget.check()) as conn:
        if not is_standby(conn):  # told at connect, and never wrong in this direction: it costs no question
            return Servers(target)
    place = _place_of(target, budget)
    if not place.is_standby:
        return Servers(target)
    if not place.upstream[0]:
        raise _link_it(
            target,
            "From where it streams is not to be read there: it does not stream now, or the admin role is no member of"
            " pg_monitor.",
        )
    with _lock:
        kept = _found.get(target)
    if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
        return _streaming(target, kept[1])
    primary = _prove(target, place, budget)
    with _lock:
        _found[target] = (time.monotonic(), primary)
    return _streaming(target, primary)


def _streaming(standby: Target, primary: Target) -> Servers:
    return Servers(primary, replace(standby, primary=primary))


def _with_linked(target: Target, linked: Target, budget: Budget, *, for_ending: bool) -> Servers:
    alone = replace(target, primary=None)
    here = _place_if_reached(alone, budget)
    there = _place_if_reached(linked, budget)
    if here is None:
        # What it links may have become its standby: then only the target can take changes, as soon as it answers.
        return _streaming(linked, alone) if there is not None and there.is_standby else as_linked(target)
    if there is not None and "" not in {there.cluster, here.cluster} and there.cluster != here.cluster:
        if not for_ending:
            raise _another_cluster(target, linked)
        return as_linked(target)
    if here.is_standby and there is not None and not there.is_standby:
        return as_linked(target)
    if here.is_standby:
        return _elsewhere(target, alone, linked, there, budget)
    if there is None:
        return Servers(alone, former=Former(linked, FormerState.SILENT))
    state = FormerState.STANDBY if there.is_standby else FormerState.PARTED
    found = Servers(alone, former=Former(linked, state))
    if state is FormerState.PARTED and not for_ending and (trouble := found.link_trouble()):
        raise trouble
    return found


def _elsewhere(target: Target, alone: Target, linked: Target, there: Place | None, budget: Budget) -> Servers:
    """Follow the stream of a standby whose linked primary takes no changes: another server was promoted."""
    try:
        found = find_servers(alone, budget.check())
    except TargetError as error:
        if there is None:
            return as_linked(target)
        raise TargetUnavailable(
            f"Neither “{target.name}” nor “{linked.name}”, which it links as its primary, takes changes now.",
            why=error.why,
            todo="It is tried again, and goes on as soon as one of them is promoted. If another server was: correct the"
            " link.",
            sqlstate="25006",
        ) from None
    return replace(found, former=Former(linked, FormerState.SILENT if there is None else FormerState.STANDBY))


def _place_if_reached(target: Target, budget: Budget) -> Place | None:
    """Look at one of two servers that a link names; None when it is out of reach.

    A machine that lost its power answers nothing: it is knocked at for a second, and then left alone for 30, so that
    the other one is not kept waiting. Raises TargetUnavailable when our own time is over: that says nothing about it.
    """
    budget.check()
    with _lock:
        at, has_answered = _reached.get(target, (float("-inf"), False))
    is_known = time.monotonic() - at < KEPT_SECONDS
    if is_known and not has_answered:
        return None
    place = None
    with suppress(TargetError):
        if (is_known and has_answered) or _knock(resolve_target(target)):
            place = _place_of(target, budget.part(PLACE_SECONDS))
    with _lock:
        _reached[target] = (time.monotonic(), place is not None)
    return place


def _knock(target: Target) -> bool:
    return None in knock(target, Budget(KNOCK_SECONDS)).values()


def _place_of(target: Target, budget: Budget) -> Place:
    try:
        return _ask_place(target, budget)
    except Interrupted:  # a connection of the pool whose server has restarted, as a failover lets it
        forget_connections(target)
        return _ask_place(target, budget)


def _ask_place(target: Target, budget: Budget) -> Place:
    with admin_session(target, budget) as session:
        row, cluster = session.ask(READ_PLACE)[0], session.cluster
        # What it said when we connected may be old: a promotion is told with the answer to the next query.
        streams = is_standby(session.conn)
    upstream = (str(row["sender_host"] or ""), int(row["sender_port"] or 0)) if streams else ("", 0)
    return Place(cluster, streams, upstream)


def _prove(target: Target, place: Place, budget: Budget) -> Target:
    """Follow the stream up to a server that is the same cluster and takes changes."""
    host, port = place.upstream
    for _ in range(LONGEST_CHAIN):
        candidate = replace(target, host=host, port=port, name=f"{target.name} (primary)")
        try:
            found = _place_of(candidate, budget)
        except TargetError as error:
            raise _link_it(target, f"It streams from {host} port {port}: {error.what} {error.why}".strip()) from None
        if "" in {found.cluster, place.cluster}:
            raise _link_it(target, f"Whether {host} port {port} is the same cluster cannot be read.")
        if found.cluster != place.cluster:
            raise _link_it(target, f"{host} port {port} is another cluster: its system identifier differs.")
        if not found.is_standby:
            return candidate
        host, port = found.upstream
        if not host:
            raise _link_it(target, f"{candidate.host} port {candidate.port} is a standby that does not stream.")
    raise _link_it(target, f"It streams through more than {LONGEST_CHAIN} other standbys.")


def _link_it(target: Target, why: str) -> TargetRefused:
    return TargetRefused(
        f"“{target.name}” is a standby, and its primary is not known: no role can be made.",
        why=why,
        todo="Link the resource of its primary in this one. On the standby, a superuser sees it with: SELECT"
        " sender_host, sender_port FROM pg_stat_wal_receiver;",
        sqlstate="25006",
    )


def _another_cluster(target: Target, linked: Target) -> TargetRefused:
    return TargetRefused(
        f"“{target.name}” links “{linked.name}” as its primary, and that is another cluster.",
        why="Their system identifiers differ: a role that is made on the one never comes to the other.",
        todo=f"Link the primary that “{target.name}” streams from, or take the link out.",
        sqlstate="25006",
    )


def link_trouble(target: Target, timeout_seconds: float = 10.0) -> TargetRefused | None:
    """Return what is out of date about the target's link to a primary, if anything is. Raises TargetError."""
    if target.primary is None:
        return None
    return find_servers(target, timeout_seconds, for_ending=True).link_trouble()
