"""Makes the capability role of a permission set, and keeps its privileges exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import psycopg

from accessmgmt.domain.drift import DriftChange
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.object_names import object_name
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.passed_on import take_back_passed_on
from accessmgmt.provisioning.leftovers.stepped_into import disarm
from accessmgmt.provisioning.privileges.changes import changes_of, object_words, passed_on_change, taken_words
from accessmgmt.provisioning.privileges.plan import (
    FRAME_WANTED,
    CapabilityPlan,
    Chunk,
    ChunkRow,
    drift_in,
    gifts_in,
    mending,
    plan_capability,
    plan_chunk,
    plan_frame,
    sharing_fix,
    wanted_on,
)
from accessmgmt.provisioning.privileges.read import Drift, Found, Scope, inspect_target
from accessmgmt.provisioning.privileges.rehearse import rehearse_set
from accessmgmt.provisioning.session.conversation import Repeat, Session
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.advice import in_words
from accessmgmt.provisioning.statements.base import COMMIT
from accessmgmt.provisioning.statements.drift import take_attributes
from accessmgmt.provisioning.statements.ending import revoke_memberships
from accessmgmt.provisioning.statements.locks import BEGIN_ALONE, BEGIN_BRIEFLY
from accessmgmt.provisioning.statements.reading import READ_CHUNK, READ_SUPERUSERS
from accessmgmt.provisioning.statements.roles import create_capability

ALREADY_THERE = frozenset({"42710", "23505"})
GONE = "42704"
MOST_NAMED = 5
WHAT_IS_SHARED = "Something that the permission set names"
"""In words, what somebody holds when a set cannot be brought in order for a lock."""


def ensure_capability(
    session: Session, scope: Scope, found: Found, changes: list[DriftChange] | None = None
) -> tuple[Found, CapabilityPlan]:
    """Bring the capability role in order; return what was found last and what could not be shared.

    The usual case finds nothing to do and sends nothing. What somebody left in the role's name, and runs with all of
    the set, is disarmed first. `changes` gets what was changed on a role that had been there, also when this raises.
    Raises TargetRefused when the set cannot be given, or when the role has more than the set says and only others can
    take that back: nobody new gets it. What strangers gave of their own is no reason for that.
    """
    noted: list[DriftChange] = [] if changes is None or found.facts.capability_oid is None else changes
    refusal = _cannot_give(session, scope, found) if scope.gives else None
    if found.facts.capability_oid is None:
        if refusal is not None:
            raise refusal
        session.repeat(partial(rehearse_set, session, scope, found))
        _create(session, scope)
        found = inspect_target(session, scope, found.role_name)
    _check_ours(session, scope, found)
    if found.facts.capability_oid is not None and found.facts.capability_is_armed:
        disarm(session, FoundRole(scope.capability, found.facts.capability_oid, (), found.facts.acting_as))
    found = _mend_role(session, scope, found, noted)
    refusal = refusal or _has_become_more(session, scope, found)
    if refusal is None:
        return _mend(session, scope, found, noted)
    # What cannot be given is taken back nevertheless where somebody gave too much.
    taking = replace(scope, gives=False)
    surplus = tuple(drift for drift in found.drift if drift.surplus)
    _mend(session, taking, replace(found, drift=surplus), noted)
    raise refusal


def _mend(session: Session, scope: Scope, found: Found, noted: list[DriftChange]) -> tuple[Found, CapabilityPlan]:
    """Bring what the capability role holds in order, part by part."""
    plan, oid = plan_capability(found), found.facts.capability_oid
    if oid is not None and any(drift.surplus for drift in found.drift):
        noted += map(passed_on_change, take_back_passed_on(session, scope.capability, oid).lost)
    if not plan.is_empty:
        frame = [partial(_mend_frame, session, scope, noted) for _ in plan.frame]
        for works in (frame, [partial(_mend_chunk, session, scope, chunk, noted) for chunk in plan.chunks]):
            for number, work in enumerate(works):
                if number:
                    session.budget.report_progress()
                session.repeat(partial(_unless_gone, session, work))
        found = inspect_target(session, scope, found.role_name)
    if beyond := plan_capability(found).beyond:
        raise _has_too_much(session, scope, beyond)
    return found, replace(plan, gifts=gifts_in(found))


def _unless_gone(session: Session, work: Callable[[], None]) -> None:
    """Do a piece of work; when the role, or an owner, was dropped meanwhile, everything has to be looked at anew."""
    try:
        work()
    except psycopg.Error as error:
        if error.sqlstate != GONE:
            raise
        session.roll_back()
        raise Repeat from None


def _cannot_give(session: Session, scope: Scope, found: Found) -> TargetRefused | None:
    """Say why a set cannot be given here: it matches nothing, or what it matches is not ours to share."""
    if found.facts.in_recovery:
        raise TargetRefused(
            f"“{session.target_name}” is a standby: no role can be made there.",
            why="It only replays what its primary does.",
            todo="Link its primary in the resource.",
            sqlstate="25006",
        )
    if found.scope.relation_count == 0 and not (scope.permissions.tables == ("*",) and _has_schema(scope, found)):
        return TargetRefused(
            f"Nothing on “{session.target_name}” matches this authorization.",
            why=f"Not found: {', '.join(found.unmatched) or scope.permissions.in_words()}.",
            todo="Correct the schemas and tables of the authorization.",
            sqlstate="42P01",
        )
    refused = plan_capability(found).refused
    return _may_not_share(session, refused, found) if refused else None


def _has_schema(scope: Scope, found: Found) -> bool:
    missing = {text.removeprefix("schema ") for text in found.unmatched if text.startswith("schema ")}
    return any(object_name(entry) not in missing for entry in scope.permissions.schemas)


def _create(session: Session, scope: Scope) -> None:
    try:
        session.send(create_capability(scope.capability, scope.tag))
    except psycopg.Error as error:
        if error.sqlstate not in ALREADY_THERE:
            raise
        session.roll_back()  # another worker made it at the same time


def _check_ours(session: Session, scope: Scope, found: Found) -> None:
    facts = found.facts
    if facts.capability_oid is None:
        raise Repeat
    if facts.capability_tag != scope.tag:
        raise TargetRefused(
            f"The role {scope.capability} on “{session.target_name}” is not this portal's.",
            why="Its comment is not the one this portal writes.",
            todo="A DBA looks at who made it, and drops it.",
        )


def _mend_role(session: Session, scope: Scope, found: Found, noted: list[DriftChange]) -> Found:
    """Take the role out of others and its attributes away, as far as that is ours to do; look again if it may be."""
    role, facts = scope.capability, found.facts
    before = {name: take_attributes(role, [name]) for name in facts.capability_attributes}
    for name, _ in facts.capability_memberships:
        before[f"the membership in {name}"] = revoke_memberships(name, [role], None)
    if not before:
        return found
    for statement in before.values():
        try:
            session.send([*BEGIN_BRIEFLY, statement, COMMIT])
        except psycopg.Error as error:
            if is_lost(error):
                raise
            session.roll_back()
    found = inspect_target(session, scope, found.role_name)
    kept = {f"the membership in {name}" for name, _ in found.facts.capability_memberships}
    kept |= set(found.facts.capability_attributes)
    noted += [DriftChange(role, "", f"took {what}", is_taken=True) for what in before if what not in kept]
    return found


def _has_become_more(session: Session, scope: Scope, found: Found) -> TargetRefused | None:
    facts = found.facts
    if facts.capability_memberships:
        return _is_a_member(session, scope, facts.capability_memberships)
    if facts.capability_attributes:
        return TargetRefused(
            f"The role {scope.capability} on “{session.target_name}” has attributes it was not given.",
            why=f"Somebody gave it {', '.join(facts.capability_attributes)}.",
            todo=str(advice.undo_attributes(scope.capability, facts.capability_attributes)),
        )
    return None


def _is_a_member(session: Session, scope: Scope, memberships: Sequence[tuple[str, str]]) -> TargetRefused:
    listed = ", ".join(name for name, _ in memberships)
    return TargetRefused(
        f"The role {scope.capability} on “{session.target_name}” is a member of {listed}.",
        why="Everybody with this permission set would have what that role has, which nobody approved.",
        todo=str(advice.leave_roles(scope.capability, memberships, session.server_version)),
    )


def _has_too_much(session: Session, scope: Scope, beyond: Sequence[Drift]) -> TargetRefused:
    held = "; ".join(f"{taken_words(d.surplus, scope.wanted)} on {object_words(d)}" for d in beyond[:MOST_NAMED])
    more = f" and {len(beyond) - MOST_NAMED} more" if len(beyond) > MOST_NAMED else ""
    return TargetRefused(
        f"The role {scope.capability} on “{session.target_name}” holds what nobody approved: {held}{more}.",
        why="Everybody with this permission set has it, and the portal may not take it back: nobody new gets the set.",
        todo=in_words(
            advice.take_back(d.owner, object_words(d), mending(d, scope), session.conn.info.dbname)
            for d in beyond[:MOST_NAMED]
        ),
        sqlstate="42501",
    )


def _mend_frame(session: Session, scope: Scope, noted: list[DriftChange]) -> None:
    """The next schemas and future objects, the database and the rest, read again under the database's lock."""
    session.send(BEGIN_ALONE)
    parts = plan_capability(inspect_target(session, scope)).frame
    if parts:
        session.send(plan_frame(parts[0], scope))
        _check_granted(session)
        left = plan_capability(inspect_target(session, scope)).frame
        if left and set(left[0]) & set(parts[0]):
            raise _without_effect(session)
    session.send([COMMIT])
    noted += changes_of(parts[0] if parts else (), scope.capability, FRAME_WANTED)


def _mend_chunk(session: Session, scope: Scope, chunk: Chunk, noted: list[DriftChange]) -> None:
    """At most 200 objects in one short transaction, verified before it is committed."""
    session.send(BEGIN_ALONE)
    rows = _read_chunk(session, scope, chunk)
    statements = plan_chunk(rows, chunk, scope)
    if statements:
        session.send(statements)
        _check_granted(session)
        left = _read_chunk(session, scope, chunk)
        if any(row.lacking for row in left if row.oid not in chunk.outside):
            session.roll_back()
            raise Repeat  # another relation had the name by then
        if plan_chunk(left, chunk, scope):
            raise _without_effect(session)
    session.send([COMMIT])
    noted += changes_of(drift_in(rows, chunk, scope), scope.capability, wanted_on(chunk, scope))


def _read_chunk(session: Session, scope: Scope, chunk: Chunk) -> list[ChunkRow]:
    values = {"capability": scope.capability, "wanted": list(wanted_on(chunk, scope)), "oids": list(chunk.oids)}
    return [
        ChunkRow(row["oid"], row["name"], row["relkind"], tuple(row["lacking"]), tuple(row["surplus"]))
        for row in session.ask(READ_CHUNK, values)
    ]


def _check_granted(session: Session) -> None:
    if session.was_not_granted():
        raise _without_effect(session)


def _without_effect(session: Session) -> TargetRefused:
    session.roll_back()
    return TargetRefused(
        f"“{session.target_name}” took the GRANT and gave nothing.",
        why="The admin role holds the privilege, but without the right to pass it on, or another role granted it.",
        todo="A DBA makes the admin role a member of the owners of these tables, and removes grants made by others.",
        sqlstate="01007",
    )


def _may_not_share(session: Session, refused: tuple[Drift, ...], found: Found) -> TargetRefused:
    names = ", ".join(d.name for d in refused[:5]) + (f" and {len(refused) - 5} more" if len(refused) > 5 else "")
    superusers = frozenset(row["name"] for row in session.ask(READ_SUPERUSERS))
    database = next((d for d in refused if d.kind == "database"), None)
    here, acting_as = session.conn.info.dbname, found.facts.acting_as
    fix = sharing_fix(refused, session.server_version, acting_as, superusers, here)
    if database is not None:
        fix = [advice.pass_connect_on(acting_as, here)]
    return TargetRefused(
        f"The portal may not share {names} on “{session.target_name}”.",
        why=f"{found.facts.acting_as} is not a member of their owner, and holds no grant option.",
        todo=in_words(fix),
        sqlstate="42501",
    )
