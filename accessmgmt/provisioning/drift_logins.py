"""Compares login roles as found with those that the portal believes in: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, KnownLogin, Severity
from accessmgmt.domain.names import RoleTag, parse_tag
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.execute import Row
from accessmgmt.provisioning.fence import LoginRole
from accessmgmt.provisioning.plan import hold
from accessmgmt.provisioning.statements import (
    Statement,
    drop_role,
    fence_login,
    grant_membership,
    revoke_on,
)
from accessmgmt.provisioning.statements_drift import (
    alter_role,
    as_text,
    rename_role,
    set_valid_until,
    take_attributes,
    terminate_session,
)
from accessmgmt.provisioning.statements_end import revoke_memberships
from accessmgmt.provisioning.statements_locks import lock_schemas

SAME_INSTANT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Difference:
    """A finding, and the statements that mend it; none where a procedure does, or nothing can.

    `hands_over` is the role whose objects the statements give to the resource's new owner of leftovers.
    """

    finding: DriftFinding
    statements: tuple[Statement, ...] = ()
    hands_over: LoginRole | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """One row of pg_auth_members. `inherits` and `can_set` are None before PostgreSQL 16."""

    granted: str
    grantor: str
    is_admin: bool
    inherits: bool | None
    can_set: bool | None


@dataclass(frozen=True, slots=True)
class RoleFound:
    """A role on the server, with its tag when that is one of a portal's."""

    oid: int
    name: str
    tag: RoleTag | None
    can_login: bool
    inherits: bool
    attributes: tuple[str, ...]
    valid_until: datetime | None
    is_fenced: bool
    memberships: tuple[Membership, ...]


def role_found(row: Row) -> RoleFound:
    """Read a row of drift_roles.sql."""
    return RoleFound(
        oid=row["oid"],
        name=row["name"],
        tag=parse_tag(row["tag"]),
        can_login=row["can_login"],
        inherits=row["inherits"],
        attributes=tuple(row["attributes"]),
        valid_until=row["valid_until"],
        is_fenced=row["is_fenced"],
        memberships=tuple(Membership(*values) for values in row["memberships"]),
    )


def compare_logins(
    roles: Sequence[RoleFound], order: DriftOrder, *, acting_as: str, server_version: int
) -> list[Difference]:
    """Return what is different about the login roles, and the roles with our tag that nobody knows."""
    by_name = {role.name: role for role in roles}
    by_tag = {role.tag.ref: role for role in roles if role.tag is not None and _is_ours(role, order)}
    differences: list[Difference] = []
    for login in order.logins:
        role = by_tag.get(login.grant_id)
        if role is None:
            differences.append(_gone(login, by_name.get(login.role_name)))
            continue
        differences += _compare(role, login, acting_as=acting_as, server_version=server_version)
    known = {login.grant_id for login in order.logins}
    for role in roles:
        is_known = role.name in order.other_roles or (role.tag is not None and role.tag.ref in known)
        if role.tag is not None and _is_ours(role, order) and not is_known:
            differences.append(_orphan(role, role.tag))
    return differences


def _is_ours(role: RoleFound, order: DriftOrder) -> bool:
    return role.tag is not None and role.tag.kind == "grant" and role.tag.installation_id == order.installation_id


def _gone(login: KnownLogin, namesake: RoleFound | None) -> Difference:
    if namesake is not None:
        return Difference(
            DriftFinding(
                DriftKind.FOREIGN,
                Severity.ALARM,
                login.role_name,
                "A role of this name is there, and it does not bear this grant's tag: the portal does not touch it.",
                role=login.role_name,
                grant_id=login.grant_id,
            )
        )
    return Difference(
        DriftFinding(
            DriftKind.VANISHED,
            Severity.WARNING,
            login.role_name,
            "Somebody dropped the role of an active grant. It is not made again: a repair ends the grant.",
            role=login.role_name,
            grant_id=login.grant_id,
            is_automatic=True,
        )
    )


def _orphan(role: RoleFound, tag: RoleTag) -> Difference:
    shut = not role.can_login or role.is_fenced
    return Difference(
        DriftFinding(
            DriftKind.ORPHAN,
            Severity.WARNING if shut else Severity.ALARM,
            role.name,
            "It bears this portal's tag, and no live grant of the portal is its own.",
            sql=as_text([fence_login(role.name)])
            + f"\nSELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = {role.oid};\n"
            + as_text([drop_role(role.name)]),
            role=role.name,
            grant_id=tag.ref,
        )
    )


def _compare(role: RoleFound, login: KnownLogin, *, acting_as: str, server_version: int) -> Iterable[Difference]:
    if role.name != login.role_name:
        renamed = f"It was renamed to {role.name}."
        yield _mend(login, DriftKind.ATTRIBUTE, Severity.WARNING, renamed, rename_role(role.name, login.role_name))
        return  # the rest is looked at under its own name, at the next check
    if role.oid != login.role_oid:
        recreated = "It was dropped and made again by hand: another OID bears this grant's name and tag."
        yield _mend(login, DriftKind.ATTRIBUTE, Severity.ALARM, recreated, fence_login(role.name), is_automatic=False)
    yield from _attributes(role, login)
    yield from _memberships(role, login, acting_as=acting_as, server_version=server_version)


def _attributes(role: RoleFound, login: KnownLogin) -> Iterable[Difference]:
    kind = DriftKind.ATTRIBUTE
    if role.attributes:
        what = f"It was given {', '.join(role.attributes)}."
        yield _mend(login, kind, Severity.ALARM, what, take_attributes(role.name, role.attributes))
    if not role.can_login or role.is_fenced:
        # Somebody may have shut it on purpose: opening it again takes a person.
        shut = "It may not log in: somebody shut it."
        statements = [alter_role(role.name, "LOGIN"), set_valid_until(role.name, login.valid_until)]
        yield _mend(login, kind, Severity.WARNING, shut, *statements, is_automatic=False)
        return
    if not role.inherits:
        what = "It does not inherit what it is a member of."
        yield _mend(login, kind, Severity.WARNING, what, alter_role(role.name, "INHERIT"))
    if role.valid_until is None or role.valid_until > login.valid_until + SAME_INSTANT:
        until = role.valid_until.isoformat() if role.valid_until else "for ever"
        what = f"It is valid until {until}, later than its grant."
        yield _mend(login, kind, Severity.ALARM, what, set_valid_until(role.name, login.valid_until))
    elif role.valid_until < login.valid_until - SAME_INSTANT:
        what = f"It is valid until {role.valid_until.isoformat()}, earlier than its grant."
        mend = set_valid_until(role.name, login.valid_until)
        yield _mend(login, kind, Severity.WARNING, what, mend, is_automatic=False)


def _memberships(role: RoleFound, login: KnownLogin, *, acting_as: str, server_version: int) -> Iterable[Difference]:
    right = [m for m in role.memberships if m.granted == login.capability]
    for membership in role.memberships:
        if membership in right:
            continue
        grantor = membership.grantor if server_version >= 16 and membership.grantor != acting_as else None
        mend = revoke_memberships(membership.granted, [role.name], grantor)
        what = f"Somebody made it a member of {membership.granted}."
        yield _mend(login, DriftKind.MEMBERSHIP, Severity.ALARM, what, mend)
    give = grant_membership(login.capability, role.name, server_version)
    if not right:
        what = f"It is no member of its capability role {login.capability}: it can do nothing."
        yield _mend(login, DriftKind.MEMBERSHIP, Severity.WARNING, what, give)
        return
    if any(m.is_admin for m in right):
        take = [
            revoke_memberships(m.granted, [role.name], m.grantor if server_version >= 16 else None)
            for m in right
            if m.is_admin
        ]
        what = "It may pass its capability role on to others."
        yield _mend(login, DriftKind.MEMBERSHIP, Severity.ALARM, what, *take, give)
    elif any(m.can_set for m in right) or all(m.inherits is False for m in right):
        what = "The options of its membership were changed."
        yield _mend(login, DriftKind.MEMBERSHIP, Severity.WARNING, what, give)


def _mend(
    login: KnownLogin,
    kind: DriftKind,
    severity: Severity,
    what: str,
    *statements: Statement,
    is_automatic: bool = True,
) -> Difference:
    finding = DriftFinding(
        kind,
        severity,
        login.role_name,
        what,
        sql=as_text(statements),
        role=login.role_name,
        grant_id=login.grant_id,
        is_automatic=is_automatic,
    )
    return Difference(finding, tuple(statements))


def compare_members(rows: Sequence[Row], *, acting_as: str, server_version: int) -> list[Difference]:
    """Roles of others that were made members of ours can do what nobody approved."""
    differences = []
    for row in rows:
        grantor = row["grantor"] if server_version >= 16 and row["grantor"] != acting_as else None
        mend = revoke_memberships(row["granted"], [row["member"]], grantor)
        finding = DriftFinding(
            DriftKind.MEMBERSHIP,
            Severity.ALARM,
            row["granted"],
            f"Somebody made {row['member']} a member of it.",
            sql=as_text([mend]),
            role=row["granted"],
            is_automatic=True,
        )
        differences.append(Difference(finding, (mend,)))
    return differences


def compare_direct(rows: Sequence[Row], order: DriftOrder) -> list[Difference]:
    """What the active logins were given straight. Logins of other databases and of endings are not judged here."""
    logins = {login.role_name: login for login in order.logins}
    differences = []
    for row in rows:
        login = logins.get(row["role"])
        tag = parse_tag(row["tag"])
        if login is None or tag is None or tag.ref != login.grant_id:
            continue
        mend = (revoke_on(row["word"], [row["name"]], row["role"]),) if row["word"] else ()
        if row["word"] == "SCHEMA":
            locks = [lock_schemas([row["name"]])]
        else:
            locks = hold([(row["name"], row["relkind"])]) if row["relkind"] else []
        finding = DriftFinding(
            DriftKind.DIRECT,
            Severity.ALARM,
            row["name"],
            f"Somebody granted on it straight to {row['role']}.",
            sql=as_text(mend),
            role=row["role"],
            grant_id=login.grant_id,
            is_automatic=bool(mend),
        )
        differences.append(Difference(finding, (*locks, *mend)))
    return differences


def compare_sessions(rows: Sequence[Row]) -> list[Difference]:
    """Sessions of logins that are gone: they live on with what everybody may do."""
    differences = []
    for row in rows:
        mend = terminate_session(row["pid"], row["oid"])
        finding = DriftFinding(
            DriftKind.SESSION,
            Severity.ALARM,
            f"session {row['pid']} in {row['database']}",
            f"It outlived its login (OID {row['oid']}).",
            sql=as_text([mend]),
            is_automatic=True,
        )
        differences.append(Difference(finding, (mend,)))
    return differences


def compare_grantors(rows: Sequence[Row]) -> list[Difference]:
    """Grants of others to capability roles: only their grantor can take them back (postgres.md 5.6)."""
    differences = []
    for row in rows:
        finding = DriftFinding(
            DriftKind.GRANTOR,
            Severity.WARNING,
            row["name"],
            f"{row['grantor']} granted {', '.join(row['privileges'])} on it to {row['role']}:"
            " a REVOKE by its owner leaves that in place.",
            sql=advice.revoke_as_grantor(row["grantor"], row["name"], row["role"]).as_sql(),
            role=row["role"],
        )
        differences.append(Difference(finding))
    return differences
