"""Says what opens the way when the server does not let the portal shut a login's door, though its rights are gone.

A superuser may have given the login an attribute that only superusers take away or touch; or somebody else holds the
role's row: an open session, or a transaction that was prepared, and nothing but its end lets go of it.

Nothing may be behind such a door. The portal takes the login's memberships back; one that a superuser gave it cannot
take (16 and later), and then says so: that superuser's REVOKE does not have to wait for the door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import psycopg

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.held_up import LOCKED, Blocker, Watch, what_frees
from accessmgmt.provisioning.session.conversation import Session
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT
from accessmgmt.provisioning.statements.ending import (
    OPTIONS_SINCE,
    PREPARED_TRANSACTIONS,
    SHORT_LOCK_TIMEOUT,
    read_attributes,
    read_memberships,
)
from accessmgmt.provisioning.statements.roles import fence_login

MAY_NOT = "42501"


def explain_stuck_door(session: Session, target: Target, role: str, error: psycopg.Error) -> TargetError:
    """Translate why a role could not be fenced, with who holds it and what opens the way where that is known."""
    why, todo = "", ""
    with suppress(psycopg.Error, TargetError):
        if error.sqlstate == LOCKED:
            blockers = _who_holds(session, target, role)
            why = f" It waits for {'; '.join(blocker.in_words() for blocker in blockers)}." if blockers else ""
            todo = what_frees(blockers) or _finish_its_own(session, role)
        if error.sqlstate == MAY_NOT:
            attributes = [name for row in session.send([read_attributes(role)])[0] for name in row["attributes"]]
            todo = str(advice.undo_attributes(role, attributes)) if attributes else ""
    explained = session.explained(error, todo=todo)
    explained.why += why
    return explained


def tell_what_is_behind(session: Session, roles: Sequence[FoundRole], stuck: Mapping[int, TargetError]) -> None:
    """Say of each login whose door is stuck (by its OID) which memberships it still has, and what takes them."""
    if not stuck:
        return
    left: dict[int, list[tuple[str, str]]] = {}
    for row in session.send([read_memberships(list(stuck))])[0]:
        left.setdefault(row["oid"], []).append((row["granted"], row["grantor"]))
    for role in roles:
        memberships = left.get(role.oid, [])
        if memberships:
            listed = " and of ".join(f"{granted} (from {grantor})" for granted, grantor in memberships)
            stuck[role.oid].why += f" It is still a member of {listed}, and can log in with that."
        # What the portal may take itself a lock kept: that waits like the door.
        if others := [
            (granted, by)
            for granted, by in memberships
            if session.server_version >= OPTIONS_SINCE and by != role.acting_as
        ]:
            take = advice.leave_roles(role.name, others, session.server_version)
            at_once = replace(take, runner=advice.Runner.SUPERUSER, before="This much can be taken from it at once.")
            stuck[role.oid].todo = f"{stuck[role.oid].todo} {at_once}".strip()


def _who_holds(session: Session, target: Target, role: str) -> tuple[Blocker, ...]:
    """Try the door once more and look, over a second connection, who keeps us from it."""
    with Watch(target, None, session.conn.info.backend_pid) as watch:
        try:
            session.send([BEGIN, SHORT_LOCK_TIMEOUT, fence_login(role), COMMIT])
        except psycopg.Error:
            session.roll_back()
    return watch.seen


def _finish_its_own(session: Session, role: str) -> str:
    """Where no second connection could look: whatever the login itself prepared may be what holds it."""
    prepared = session.ask_one(PREPARED_TRANSACTIONS, {"names": [role]})
    return advice.in_words(advice.finish_prepared(row["database"], row["gid"]) for row in prepared)
