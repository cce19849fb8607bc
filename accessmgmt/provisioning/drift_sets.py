"""Writes the drift of a capability role as findings: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from accessmgmt.domain.drift import DriftFinding, DriftKind, Severity
from accessmgmt.domain.names import Installation
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.drift_logins import Difference
from accessmgmt.provisioning.execute import Row
from accessmgmt.provisioning.fence import LoginRole
from accessmgmt.provisioning.inspect import Drift, Found, Scope
from accessmgmt.provisioning.statements import Statement, grant_future, grant_on, grant_tables, revoke_on, revoke_tables
from accessmgmt.provisioning.statements_drift import as_text
from accessmgmt.provisioning.statements_end import disarm_owned, reassign_owned, revoke_memberships, step_into

MOST_OBJECTS = 200
MOST_OWNED = 5
WORDS = {"relation": "TABLE", "sequence": "SEQUENCE", "schema": "SCHEMA", "database": "DATABASE"}


def compare_set(found: Found, scope: Scope, installation: Installation) -> list[DriftFinding]:
    """Return what one capability role lacks or has too much in this database, at most MOST_OBJECTS and a summary."""
    facts, role = found.facts, scope.capability
    if facts.capability_oid is None:
        what = "The capability role of active grants is gone: their logins can do nothing."
        return [DriftFinding(DriftKind.PRIVILEGE, Severity.WARNING, role, what, role=role, is_automatic=True)]
    if facts.capability_tag != installation.tag("set", scope.permissions.digest, role):
        what = "The role has this capability role's name, and not its tag: the portal does not touch it."
        return [DriftFinding(DriftKind.FOREIGN, Severity.ALARM, role, what, role=role)]
    findings = []
    if attributes := facts.capability_attributes:
        what = f"The capability role was given {', '.join(attributes)}."
        fix = advice.undo_attributes(role, attributes).as_sql()
        findings.append(DriftFinding(DriftKind.ATTRIBUTE, Severity.ALARM, role, what, sql=fix, role=role))
    for name in facts.capability_memberships:
        what = f"The capability role is a member of {name}: every login of this set has what that role has."
        fix = advice.undo_memberships(role, [name]).as_sql()
        findings.append(DriftFinding(DriftKind.MEMBERSHIP, Severity.ALARM, role, what, sql=fix, role=role))
    # A default privilege, or CONNECT, that nobody may give is no difference that a repair could mend.
    drift = sorted(found.drift, key=lambda d: (not d.surplus, d.name))
    findings += [_finding(d, scope) for d in drift[:MOST_OBJECTS]]
    if len(drift) > MOST_OBJECTS:
        rest = drift[MOST_OBJECTS:]
        surplus = sum(bool(d.surplus) for d in rest)
        findings.append(
            DriftFinding(
                DriftKind.PRIVILEGE,
                Severity.ALARM if surplus else Severity.WARNING,
                f"{len(rest):,} more objects",
                f"{surplus:,} with too much, {len(rest) - surplus:,} with too little. A repair mends them all.",
                role=role,
                is_automatic=True,
            )
        )
    return findings


def _finding(drift: Drift, scope: Scope) -> DriftFinding:
    statements = mending(drift, scope)
    return DriftFinding(
        DriftKind.PRIVILEGE,
        Severity.ALARM if drift.surplus else Severity.WARNING,
        drift.name,
        _what(drift, scope),
        sql=as_text(statements),
        role=scope.capability,
        is_automatic=drift.can_grant,
    )


def _what(drift: Drift, scope: Scope) -> str:
    if drift.kind == "default":
        kind = "sequences" if drift.relkind == "S" else "tables"
        return f"New {kind} of {drift.owner} in this schema are not shared by themselves."
    if "OUTSIDE" in drift.surplus:
        return "It holds privileges on this, which is not in its permission set."
    parts = []
    if drift.lacking:
        parts.append(f"It lacks {', '.join(drift.lacking)}.")
    beyond = [name for name in drift.surplus if name not in scope.wanted and name != "COLUMN"]
    if beyond:
        parts.append(f"It has {', '.join(beyond)}, which nobody approved.")
    if "COLUMN" in drift.surplus:
        parts.append("It has privileges on single columns.")
    if passes := [name for name in drift.surplus if name in scope.wanted]:
        parts.append(f"It may pass on {', '.join(passes)}.")
    if not drift.can_grant:
        parts.append(f"The portal may not change that: it belongs to {drift.owner}.")
    return " ".join(parts)


def mending(drift: Drift, scope: Scope) -> Sequence[Statement]:
    """Return the statements that a DBA would run for one object; a repair locks and does them in chunks."""
    role = scope.capability
    if drift.kind == "default":
        return [grant_future(drift.owner, drift.name, drift.relkind, drift.lacking, role)]
    is_outside = "OUTSIDE" in drift.surplus
    if drift.kind == "relation":
        take = [revoke_tables([drift.name], role)] if drift.surplus else []
        return take if is_outside else [*take, grant_tables(scope.wanted, [drift.name], role)]
    word = WORDS[drift.kind]
    take = [revoke_on(word, [drift.name], role)] if drift.surplus else []
    give = grant_on(word, ["CONNECT" if drift.kind == "database" else "USAGE"], [drift.name], role)
    return take if is_outside else [*take, give]


def compare_owned(
    rows: Sequence[Row], *, owner: str, is_kept: bool, acting_as: str, is_superuser: bool, server_version: int
) -> list[Difference]:
    """A capability role that owns something gives an owner's rights on it to everybody with the same set.

    `owner` takes over what logins leave behind; `is_kept` says that the resource leaves that to an admin.
    """
    differences = []
    for row in rows:
        role, more = row["role"], row["owned"] - len(row["listed"])
        what = f"It owns {', '.join(row['listed'])}{f' and {more} more' if more else ''}: somebody stepped into it"
        hand_over = [disarm_owned(row["oid"]), reassign_owned(role, owner)]
        before = [] if is_superuser else [step_into(role, server_version)]
        after = [] if is_superuser else [revoke_memberships(role, [acting_as], None)]
        finding = DriftFinding(
            DriftKind.PRIVILEGE,
            Severity.ALARM,
            role,
            f"{what} (SET ROLE, which PostgreSQL up to 15 lets its members do), and all of them have an owner's rights"
            " there.",
            sql=as_text(hand_over),
            role=role,
            is_automatic=not is_kept,
        )
        found = LoginRole(role, row["oid"], (), acting_as)
        differences.append(Difference(finding, () if is_kept else (*before, *hand_over, *after), found))
    return differences
