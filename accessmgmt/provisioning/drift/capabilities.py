"""Writes the drift of a capability role as findings: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from accessmgmt.domain.drift import DriftFinding, DriftKind, Severity
from accessmgmt.domain.names import Installation
from accessmgmt.provisioning.drift.difference import Difference, Me
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.privileges.changes import object_words, taken_words
from accessmgmt.provisioning.privileges.plan import mending, wanted_of
from accessmgmt.provisioning.privileges.read import Drift, Found, Scope
from accessmgmt.provisioning.session.conversation import Row
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.chains import disarm_owned
from accessmgmt.provisioning.statements.drift import as_text
from accessmgmt.provisioning.statements.ending import reassign_owned, revoke_memberships, step_into

MOST_OBJECTS = 200
MOST_OWNED = 5
TEMPORARY = "pg_temp_"


def compare_set(
    found: Found, scope: Scope, installation: Installation, own_roles: Collection[str], me: Me
) -> list[Difference]:
    """Return what one capability role lacks or has too much in this database, at most MOST_OBJECTS and a summary.

    A repair mends it set by set; only what one of `own_roles` gave of its own is mended one by one, in its name.
    """
    facts, role = found.facts, scope.capability
    if facts.capability_oid is None:
        what = "The capability role of active grants is gone: their logins can do nothing."
        gone = DriftFinding(DriftKind.PRIVILEGE, Severity.WARNING, role, what, role=role, is_automatic=True)
        return [Difference(gone)] if scope.gives else []
    if facts.capability_tag != installation.tag("set", scope.permissions.digest, role):
        what = "The role has this capability role's name, and not its tag: the portal does not touch it."
        return [Difference(DriftFinding(DriftKind.FOREIGN, Severity.ALARM, role, what, role=role))]
    # A default privilege, or CONNECT, that nobody may give is no difference that a repair could mend.
    # What strangers gave comes last: a thousand gifts must not hide what only one look can tell.
    drift = sorted(found.drift, key=lambda d: (d.is_strangers, not d.surplus, d.name))
    differences = [_difference(d, scope, own_roles, me) for d in drift[:MOST_OBJECTS]]
    return differences + ([Difference(_rest(drift[MOST_OBJECTS:], role))] if len(drift) > MOST_OBJECTS else [])


def _rest(drift: Sequence[Drift], role: str) -> DriftFinding:
    surplus = sum(bool(d.surplus) for d in drift)
    return DriftFinding(
        DriftKind.PRIVILEGE,
        Severity.ALARM if surplus else Severity.WARNING,
        f"{len(drift):,} more objects",
        f"{surplus:,} with too much, {len(drift) - surplus:,} with too little. A repair mends all that the portal may.",
        role=role,
        is_automatic=True,
    )


def _difference(drift: Drift, scope: Scope, own_roles: Collection[str], me: Me) -> Difference:
    statements = mending(drift, scope)
    # Only a superuser can name what is in another session's temporary schema.
    is_out_of_sight = drift.name.startswith(TEMPORARY) and not me.is_superuser
    may_step_in = drift.is_theirs and not drift.can_grant and drift.owner in own_roles and not is_out_of_sight
    is_for_dba = bool(statements) and not (drift.can_grant or may_step_in)
    by_owner = advice.take_back(drift.owner, object_words(drift), statements, me.database)
    finding = DriftFinding(
        DriftKind.PRIVILEGE,
        Severity.ALARM if drift.surplus else Severity.WARNING,
        object_words(drift) if drift.kind in {"default", "other"} else drift.name,
        _what(drift, scope),
        sql=by_owner.as_sql() if is_for_dba else as_text(statements),
        role=scope.capability,
        is_automatic=drift.can_grant or may_step_in,
        is_for_dba=not (drift.can_grant or may_step_in),
    )
    return Difference(finding, me.stepping_into(drift.owner, statements) if may_step_in else ())


def _what(drift: Drift, scope: Scope) -> str:
    wanted = wanted_of(drift, scope)
    if drift.kind == "default":
        parts = [_what_of_the_future(drift, scope)]
    elif drift.is_outside:
        parts = [f"It holds {taken_words(drift.surplus, ())} on this, which is not in its permission set."]
    else:
        parts = [f"It lacks {', '.join(drift.lacking)}."] if drift.lacking else []
        parts += [f"It has {taken_words(drift.surplus, wanted)}, which nobody approved."] if drift.surplus else []
    if drift.is_theirs and drift.surplus:
        end = "that session" if drift.name.startswith(TEMPORARY) else "that login"
        parts.append(f"{drift.owner} gave of their own: it ends with {end}, and new grants go on.")
    elif drift.is_strangers:
        parts.append(f"{drift.owner} gave of their own, as anybody may: new grants go on, and their receipts tell it.")
    elif not drift.can_grant:
        parts.append(f"The portal may not change that: it belongs to {drift.owner}.")
    if drift.is_beyond_us:
        parts.append("Until it is taken back, the set is given to nobody new.")
    return " ".join(parts)


def _what_of_the_future(drift: Drift, scope: Scope) -> str:
    new = object_words(drift)
    if drift.surplus:
        wanted = () if drift.is_outside else drift.lacking
        return f"It would get {taken_words(drift.surplus, wanted)} on {new}, which nobody approved."
    return f"{new[:1].upper()}{new[1:]} are not shared by themselves."


def compare_owned(
    rows: Sequence[Row], *, owner: str, is_kept: bool, acting_as: str, is_superuser: bool, server_version: int
) -> list[Difference]:
    """A capability role that owns something gives an owner's rights on it to everybody with the same set.

    `owner` takes over what logins leave behind; `is_kept` says that the resource leaves that to an admin. What others
    can run or read with the role's rights is disarmed in any case, and without asking.
    """
    differences = []
    for row in rows:
        role, more, is_armed = row["role"], row["owned"] - len(row["listed"]), bool(row["is_armed"])
        what = f"It owns {', '.join(row['listed'])}{f' and {more} more' if more else ''}: somebody acted as it"
        hand_over = [disarm_owned(row["oid"]), reassign_owned(role, owner)]
        work = hand_over if not is_kept else hand_over[:1] if is_armed else []
        before = [] if is_superuser else [step_into(role, server_version)]
        after = [] if is_superuser else [revoke_memberships(role, [acting_as], None)]
        whose = (
            "others can run or read it with all that the set may do"
            if is_armed
            else "all of them have an owner's rights there"
        )
        finding = DriftFinding(
            DriftKind.OWNERSHIP,
            Severity.ALARM,
            role,
            f"{what}, which its members may (by SET ROLE up to PostgreSQL 15), and {whose}.",
            sql=as_text(work or hand_over),
            role=role,
            is_automatic=bool(work),
            is_for_dba=not work,
        )
        found = FoundRole(role, row["oid"], (), acting_as)
        statements = (*before, *work, *after) if work else ()
        differences.append(Difference(finding, statements, None if is_kept and is_armed else found))
    return differences
