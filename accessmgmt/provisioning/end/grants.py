"""Takes grants away from their target, and proves that nothing is left of any of them.

Three phases, each committed on its own: fence, end the sessions, drop. In one transaction a client that reconnects
slips through. Each phase is one message to the server for all grants; a grant that the server makes
trouble about is taken out and keeps its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import UTC

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.names import is_login_role_name
from accessmgmt.domain.orders import EndOrder
from accessmgmt.domain.targets import EndReceipt, Target, UnseenHost
from accessmgmt.provisioning.connect.admin import admin_connection, admin_session, forget_connections
from accessmgmt.provisioning.connect.another_database import find_detour
from accessmgmt.provisioning.connect.hosts import as_linked, is_standby
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.connect.replay import wait_for_replay
from accessmgmt.provisioning.end.batch import Batch, Ending
from accessmgmt.provisioning.end.close import Fenced, fence
from accessmgmt.provisioning.end.find import find_roles
from accessmgmt.provisioning.end.members import end_sessions_of, find_holders, undo_memberships
from accessmgmt.provisioning.end.sessions import become_member, end_sessions
from accessmgmt.provisioning.leftovers.drop import Emptied, drop_logins
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.stepped_into import UnsettledSet, settle_set, unsettled_sets
from accessmgmt.provisioning.session.conversation import Interrupted, Repeat, Row, Session, wait_a_little
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.ending import ABSENCE, READ_CLOCK, UNSETTLED
from accessmgmt.provisioning.statements.reading import READ_LSN

BUDGET_SECONDS = 45.0


Rest = tuple[Ending, dict[str, int]]


def end_grant(target: Target, order: EndOrder, *, longest_seconds: float | None = None) -> EndReceipt:
    """End a login: no sign-in, no session, no role, on the primary and on the standby, and verify it.

    Every step reads before it writes: run it again from the top after any failure. A role that is absent is a success;
    sessions under the login's stored OID are ended even then. A role without this grant's tag is never touched.

    Raises TargetUnavailable (try again; what could be done has been done) or TargetRefused (a person has to act).
    """
    outcome = end_grants(target, [order], longest_seconds=longest_seconds)[0]
    if isinstance(outcome, TargetError):
        raise outcome
    return outcome


def end_grants(
    target: Target, orders: Sequence[EndOrder], *, longest_seconds: float | None = None
) -> list[EndReceipt | TargetError]:
    """End logins: no sign-in, no session, no role, on the primary and on the standby, and verify each.

    Returns, in the order of `orders`, the receipt of each or why it could not be ended: TargetUnavailable (try again;
    what could be done has been done) or TargetRefused (a person has to act). One never keeps another from ending.
    """
    endings = [Ending(order, [order.login.role_oid] if order.login.role_oid else []) for order in orders]
    for ending in endings:
        if not is_login_role_name(ending.order.login.role_name):
            what = f"“{ending.order.login.role_name}” is no name of a login role."
            ending.error = TargetRefused(what, todo="The portal does not touch it.")
    batch = Batch(as_linked(target), endings, Budget(longest_seconds or BUDGET_SECONDS))
    if batch.live:
        try:
            _end_until_done(batch, target)
        except TargetError as error:
            error.is_server_wide = True
            for ending in batch.live:
                ending.error = error
    return [_failed(ending, ending.error) if ending.error else _receipt(batch, ending) for ending in endings]


def _failed(ending: Ending, error: TargetError) -> TargetError:
    """Return the error of one ending with what was done all the same: one may stand for several endings."""
    own = copy(error)
    own.notes = tuple(dict.fromkeys(ending.notes))
    return own


def _end_until_done(batch: Batch, given: Target) -> None:
    attempts = 0
    while True:
        attempts += 1
        try:
            batch.servers = find_servers(given, batch.budget.check(), for_ending=True)
            _end(batch)
        except Repeat:
            wait_a_little(attempts, batch.budget)
        except Interrupted:
            if attempts >= 3 or batch.budget.remaining_seconds <= 1:
                raise
            forget_connections(batch.servers.writable)
            forget_connections(batch.servers.named)
        except TargetError as error:
            if batch.detour is None:
                capabilities = [wanted.capability for wanted in batch.sets]
                batch.detour = find_detour(given, error, capabilities, batch.budget)
            if batch.detour is None or given is batch.detour.target:
                raise
            given = batch.detour.target
        else:
            return


def _end(batch: Batch) -> None:
    servers, installation = batch.servers, batch.endings[0].order.login.installation
    with batch.steps.measured("total"):
        try:
            with admin_session(servers.writable, batch.budget, installation=installation) as session:
                _take_away(session, batch)
                _verify_primary(session, batch)
                others = servers.others(session.conn.info.host)
                is_alone = servers.standby is None and not others
                lsn = "" if is_alone else str(session.ask(READ_LSN)[0]["lsn"])
        except TargetUnavailable:
            # The primary is out of reach: cut at least what the standby carries.
            if servers.standby is not None:
                with suppress(TargetError):
                    _end_on_standby(batch, servers.standby, "")
            raise
        if servers.standby is not None and batch.live:
            with batch.steps.measured("standby"):
                _verify_standby(batch, servers.standby, lsn)
        for other in others:
            with batch.steps.measured("others"):
                _sweep_other(batch, other, lsn)


def _sweep_other(batch: Batch, other: Target, lsn: str) -> None:
    """End the sessions on another server of the cluster. One that is gone for good must not keep grants ending.

    It is looked at again when it is back (see absent_servers.py).
    """
    timeout_seconds = batch.budget.check()  # that our own time is over says nothing about the server
    try:
        with admin_connection(other, timeout_seconds=timeout_seconds) as conn:
            is_replica = is_standby(conn)
    except TargetError as error:
        for ending in batch.live:
            ending.unseen[other.host] = error.what
        return
    for ending in batch.live:
        ending.unseen.pop(other.host, None)  # it answers by now
    if not is_replica:
        _end_apart(batch, other)
        return
    try:
        with admin_session(other, batch.budget) as session:
            _cut(session, batch, server="standby", is_quick=True)
            wait_for_replay(session, lsn)
            _cut(session, batch, server="standby")
            _verify_absence(session, batch)
    except TargetError as error:
        for ending in batch.live:
            ending.error = error


def _end_apart(batch: Batch, other: Target) -> None:
    """End the logins on a server that takes changes as well: the cluster has parted, and they live on both sides."""
    live = batch.live
    outcomes = end_grants(other, [ending.order for ending in live], longest_seconds=batch.budget.check())
    for ending, outcome in zip(live, outcomes, strict=True):
        if isinstance(outcome, TargetError):
            ending.error = outcome
            continue
        ending.notes += [f"“{other.name}” takes changes, too: the login was ended there as well.", *outcome.notes]
        ending.sessions += outcome.sessions
        ending.reassigned += outcome.reassigned


def _take_away(session: Session, batch: Batch) -> None:
    """Fence, end the sessions, drop. A standby that cannot be swept is asked again afterwards."""
    steps = batch.steps
    with steps.measured("fence"):
        fenced = _fence(session, batch)
    with steps.measured("sessions"):
        _cut(session, batch, server="primary")
    if (standby := batch.servers.standby) is not None:
        with steps.measured("standby"):
            try:
                names = [role.name for ending in batch.live for role in ending.roles]
                _end_on_standby(batch, standby, become_member(session, names) or fenced.lsn)
            except TargetError as error:
                batch.standby_failure = error
                for ending in batch.live:
                    if ending.holders:  # the next try knows them by memberships, which end with the login
                        ending.error = error
    batch.fail(fenced.failures)  # only now: whatever kept a door open, its sessions are cut
    with steps.measured("drop"):
        _drop(session, batch)


def _drop(session: Session, batch: Batch) -> None:
    roles = [_with_its_set(ending, role) for ending in batch.live for role in ending.roles]
    for ending in batch.live:
        ending.notes += [note for role in ending.roles for note in undo_memberships(session, role)]
    dropped = drop_logins(session, batch.servers.writable, roles, batch.budget)
    for ending in batch.live:
        for role in ending.roles:
            ending.notes += dropped.notes.get(role.name, [])
            emptied = dropped.emptied.get(role.oid, Emptied())
            ending.reassigned += emptied.reassigned
            ending.notes += emptied.notes
    batch.fail(dropped.failures)
    for ending in batch.live:
        ending.error = ending.refusal


def _settle_sets(session: Session, batch: Batch, found: Sequence[UnsettledSet]) -> None:
    """See to what was left in the names of the grants' capability roles: it would outlive every one of them.

    Also where the login is still there, or was gone before: nobody else looks at a set that nobody has any more.
    """
    for unsettled in found:
        settled = settle_set(session, batch.servers.writable, unsettled, batch.budget)
        for ending in batch.endings:
            if ending.order.capability == unsettled.role.name:
                ending.notes += settled.notes
                ending.error = ending.error or settled.error


def _with_its_set(ending: Ending, role: FoundRole) -> FoundRole:
    order = ending.order
    return replace(role, capability=order.capability, triggers_before=order.login.triggers_before)


def _fence(session: Session, batch: Batch) -> Fenced:
    """Find the roles and shut their doors; return what came of it."""
    strangers = _find(session, batch)
    roles = [role for ending in batch.live for role in ending.roles]
    holders = find_holders(session, [role for ending in batch.live for role in ending.roles])
    for ending in batch.live:
        ending.holders += [holder for oid in ending.oids for holder in holders.get(oid, [])]
    writable, has_standby = batch.servers.writable, batch.servers.standby is not None
    fenced = fence(session, writable, roles, waits_for_disk=has_standby, strangers=strangers)
    for ending in batch.live:
        for oid in ending.oids:
            ending.sessions += fenced.sessions.get(oid, [])
    return fenced


def _find(session: Session, batch: Batch) -> list[FoundRole]:
    """Find what there is of each grant; return the roles that stand in a login's place and have its set."""
    live, strangers = batch.live, list[FoundRole]()
    for ending, found in zip(live, find_roles(session, [ending.order for ending in live]), strict=True):
        if found.stranger is not None:
            strangers.append(found.stranger)
        if found.refusal is not None and not found.oids:
            ending.error = found.refusal
            continue
        ending.roles, ending.refusal = list(found.roles), found.refusal
        ending.was_absent = ending.was_absent and not found.roles
        ending.notes += found.notes
        # The stored OID may turn out to be another role's; those that were found before, and are gone now, stay.
        before = [oid for oid in ending.oids if oid != ending.order.login.role_oid]
        ending.oids = list(dict.fromkeys([*found.oids[:1], *before, *found.oids]))
    return strangers


def _cut(session: Session, batch: Batch, *, server: str, is_quick: bool = False) -> None:
    cut = end_sessions(session, batch.oids, server=server, is_quick=is_quick)
    for ending in batch.live:
        for oid in ending.oids:
            ending.sessions += cut.sessions.get(oid, [])
        ending.notes += [
            f"A process (pid {pid}) had been beginning a session for long and was told to end: it might have been this"
            " login's."
            for pid in sorted(cut.starting)
        ]
    if not is_quick:  # the look that proves it comes later
        batch.fail(cut.failures)
        _cut_holders(session, batch, server=server)


def _cut_holders(session: Session, batch: Batch, *, server: str) -> None:
    """End the sessions of others that may hold the rights of logins: those from before the doors were shut."""
    holders = list(dict.fromkeys(holder for ending in batch.live for holder in ending.holders))
    if not holders:
        return
    place = (session.conn.info.host, session.conn.info.port)
    if place not in batch.moments:  # who logs in later does no harm, and is left in peace when this is done again
        batch.moments[place] = session.ask(READ_CLOCK)[0]["now"]
    cut = end_sessions_of(session, holders, batch.moments[place], server=server)
    for ending in batch.live:
        ending.notes += [note for oid in ending.oids for note in cut.notes.get(oid, [])]
    batch.fail(cut.failures)


def _verify_primary(session: Session, batch: Batch) -> None:
    """Look once more for anything at all; sessions that are there after all are ended, and it is looked again."""
    with batch.steps.measured("verify"):
        rest, unsettled = _look_again(session, batch)
        if any(left.get("sessions") for _, left in rest) or any(ending.holders for ending in batch.live):
            _cut(session, batch, server="primary")
            rest, unsettled = _look_again(session, batch)
        _judge(session, rest)
        _settle_sets(session, batch, unsettled)


def _look_again(session: Session, batch: Batch) -> tuple[list[Rest], list[UnsettledSet]]:
    """Ask in one message what is left of each live ending, and in the names of all the grants' capability roles."""
    tags = {wanted.capability: wanted.tag for wanted in batch.sets}
    pairs = _pairs(batch)
    asked = [(ABSENCE, _absence_values(pairs))] if pairs else []
    *absence, unsettled = session.ask_prepared([*asked, (UNSETTLED, {"sets": list(tags)})])
    return _rest_of(pairs, absence[0] if pairs else []), unsettled_sets(unsettled, tags)


def _verify_absence(session: Session, batch: Batch) -> None:
    if pairs := _pairs(batch):
        _judge(session, _rest_of(pairs, session.ask_one(ABSENCE, _absence_values(pairs))))


def _pairs(batch: Batch) -> list[tuple[Ending, int]]:
    """Return each live ending with each of its OIDs, or with 0."""
    return [(ending, oid) for ending in batch.live for oid in ending.oids or [0]]


def _absence_values(pairs: Sequence[tuple[Ending, int]]) -> dict[str, object]:
    return {"names": [ending.order.login.role_name for ending, _ in pairs], "oids": [oid for _, oid in pairs]}


def _rest_of(pairs: Sequence[tuple[Ending, int]], rows: Sequence[Row]) -> list[Rest]:
    """Return how many of what are left of each ending, by each of its OIDs; nothing when it is gone."""
    found = []
    for (ending, _), row in zip(pairs, rows, strict=True):
        ending.verified_at = row["verified_at"].astimezone(UTC)
        left = {name: row[name] for name in ("roles", "sessions", "dependencies") if row[name]}
        found.append((ending, left))
    return found


def _judge(session: Session, rest: Sequence[Rest]) -> None:
    for ending, left in rest:
        if left and ending.error is None:
            ending.error = TargetUnavailable(
                f"{ending.order.login.role_name} is not gone from “{session.target_name}” yet.",
                why="Left: " + ", ".join(f"{count} {name}" for name, count in left.items()) + ".",
                todo="It is tried again by itself.",
            )


def _end_on_standby(batch: Batch, target: Target, lsn: str) -> None:
    """End the sessions on the standby, after it has replayed `lsn`; those that are there in any case, before."""
    with admin_session(target, batch.budget, server="standby") as standby:
        _cut(standby, batch, server="standby", is_quick=True)
        if lsn:
            wait_for_replay(standby, lsn)
            _cut(standby, batch, server="standby")


def _verify_standby(batch: Batch, target: Target, lsn: str) -> None:
    """Ask the standby the same: its sessions are invisible on the primary, and outlive the roles."""
    unproved = batch.live
    try:
        _end_on_standby(batch, target, lsn)
        with admin_session(target, batch.budget, server="standby") as standby:
            _verify_absence(standby, batch)
    except TargetError as error:
        error.is_server_wide = True
        for ending in batch.live:
            ending.error = error
    for ending in unproved:
        if ending.error is not None:
            ending.error = _unproved(batch, ending, ending.error)


def _unproved(batch: Batch, ending: Ending, error: TargetError) -> TargetError:
    first = batch.standby_failure or error
    kind = TargetRefused if isinstance(error, TargetRefused) else TargetUnavailable
    role, standby = ending.order.login.role_name, batch.servers.named.name
    unproved = kind(
        f"{role} is gone from the primary, but “{standby}” could not be verified.",
        why=f"{first.what} {first.why}".strip(),
        todo=error.todo or "It is tried again by itself.",
        sqlstate=error.sqlstate,
    )
    unproved.is_server_wide = error.is_server_wide
    return unproved


def _way_notes(batch: Batch) -> list[str]:
    """Return what is to be said of how the server was reached."""
    trouble = batch.servers.link_trouble()
    return [*([str(trouble)] if trouble else []), *([batch.detour.note] if batch.detour else [])]


def _receipt(batch: Batch, ending: Ending) -> EndReceipt:
    if ending.verified_at is None:
        raise AssertionError("an ending without an error was verified")
    return EndReceipt(
        role_name=ending.order.login.role_name,
        role_oid=ending.oids[-1] if ending.oids else None,
        role_was_absent=ending.was_absent,
        sessions=tuple(dict.fromkeys(ending.sessions)),
        reassigned=tuple(dict.fromkeys(ending.reassigned)),
        notes=tuple(dict.fromkeys([*_way_notes(batch), *ending.notes])),
        steps_ms=batch.steps.milliseconds,
        verified_at=ending.verified_at,
        unseen_hosts=tuple(UnseenHost(host, why) for host, why in ending.unseen.items()),
    )
