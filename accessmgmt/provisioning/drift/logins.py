"""Compares login roles as found with those that the portal believes in: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, KnownLogin, Severity
from accessmgmt.domain.names import RoleTag
from accessmgmt.provisioning.drift.difference import Difference, Me
from accessmgmt.provisioning.session.conversation import Row
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import Statement
from accessmgmt.provisioning.statements.drift import (
    alter_role,
    as_text,
    rename_role,
    set_valid_until,
    take_attributes,
    terminate_session,
)
from accessmgmt.provisioning.statements.ending import revoke_memberships
from accessmgmt.provisioning.statements.roles import comment_on_role, drop_role, fence_login, grant_membership

SAME_INSTANT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Membership:
    """One row of pg_auth_members. `inherits` and `can_set` are None before PostgreSQL 16."""

    granted: str
    grantor: str
    is_admin: bool
    inherits: bool | None
    can_set: bool | None
    may_revoke: bool


@dataclass(frozen=True, slots=True)
class RoleFound:
    """A role on the server, with the comment that may be a tag of this installation."""

    oid: int
    name: str
    comment: str | None
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
        comment=row["tag"],
        can_login=row["can_login"],
        inherits=row["inherits"],
        attributes=tuple(row["attributes"]),
        valid_until=row["valid_until"],
        is_fenced=row["is_fenced"],
        memberships=tuple(Membership(*values) for values in row["memberships"]),
    )


def compare_logins(roles: Sequence[RoleFound], order: DriftOrder, me: Me) -> list[Difference]:
    """Return what is different about the login roles, and the roles with our mark that are nobody's or forged."""
    by_name = {role.name: role for role in roles}
    by_oid = {role.oid: role for role in roles}
    mine = _own_roles(roles, order)
    differences: list[Difference] = []
    for login in order.logins:
        role = mine.get(login.grant_id)
        if role is None:
            differences.append(_gone(login, by_name.get(login.role_name), by_oid.get(login.role_oid)))
            continue
        tag = order.installation.tag("grant", login.grant_id, login.role_name)
        differences += _compare(role, login, tag, me)
    accounted = {role.oid for role in mine.values()}
    for role in roles:
        if role.oid in accounted:
            continue
        read = order.installation.read_tag(role.comment, role.name)
        if order.installation.is_forged(role.comment, role.name) or (read is not None and read.ref in mine):
            differences.append(_forged(role))
        elif read is not None and read.kind == "grant" and not read.is_rehearsal and role.name not in order.other_roles:
            differences.append(_orphan(role, read))
    return differences


def _own_roles(roles: Sequence[RoleFound], order: DriftOrder) -> dict[str, RoleFound]:
    """Return the roles that are the order's logins, by grant.

    A role with the login's OID comes first: it bears the tag (somebody may have renamed it), or has the name (somebody
    may have changed its comment). Then one of the name that bears the tag. Another one with a copy of it is none.
    """
    by_oid = {role.oid: role for role in roles}
    by_name = {role.name: role for role in roles}
    mine: dict[str, RoleFound] = {}
    for login in order.logins:
        tag = order.installation.tag("grant", login.grant_id, login.role_name)
        for role in (by_oid.get(login.role_oid), by_name.get(login.role_name)):
            if role is not None and (role.comment == tag or (role.oid, role.name) == (login.role_oid, login.role_name)):
                mine[login.grant_id] = role
                break
    return mine


def _forged(role: RoleFound) -> Difference:
    return Difference(
        DriftFinding(
            DriftKind.FOREIGN,
            Severity.ALARM,
            role.name,
            "It bears a tag that this portal did not write for a role of this name: somebody made it up, copied it or"
            " renamed the role. The portal does not touch it.",
            role=role.name,
        )
    )


def _gone(login: KnownLogin, namesake: RoleFound | None, successor: RoleFound | None) -> Difference:
    """Tell what became of a login: `namesake` has its name, `successor` its OID, and neither bears its tag."""
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
            f"Its OID is now that of {successor.name}, which bears another comment: a repair ends the grant."
            if successor is not None
            else "Somebody dropped the role of an active grant. It is not made again: a repair ends the grant.",
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


def _compare(role: RoleFound, login: KnownLogin, tag: str, me: Me) -> Iterable[Difference]:
    if role.name != login.role_name:
        renamed = f"It was renamed to {role.name}."
        yield _mend(login, DriftKind.ATTRIBUTE, Severity.WARNING, renamed, rename_role(role.name, login.role_name))
        return  # the rest is looked at under its own name, at the next check
    if role.oid != login.role_oid:
        recreated = "It was dropped and made again by hand: another OID bears this grant's name and tag."
        yield _mend(login, DriftKind.ATTRIBUTE, Severity.ALARM, recreated, fence_login(role.name), is_automatic=False)
    if role.comment != tag:
        what = "Its comment was changed: the portal knows it by its name and OID alone."
        yield _mend(login, DriftKind.ATTRIBUTE, Severity.WARNING, what, comment_on_role(role.name, tag))
    yield from _attributes(role, login, me)
    yield from _memberships(role, login, acting_as=me.name, server_version=me.server_version)


def _attributes(role: RoleFound, login: KnownLogin, me: Me) -> Iterable[Difference]:
    kind = DriftKind.ATTRIBUTE
    for difference in compare_attributes(role.name, role.attributes, me):
        yield replace(difference, finding=replace(difference.finding, grant_id=login.grant_id))
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


def compare_attributes(role: str, attributes: Sequence[str], me: Me) -> Iterable[Difference]:
    """What a role was given that it should not have: each attribute named by itself, as who may take it has to."""
    ours = me.may_take(attributes)
    if ours:
        take = take_attributes(role, ours)
        what = f"It was given {', '.join(ours)}."
        finding = DriftFinding(
            DriftKind.ATTRIBUTE, Severity.ALARM, role, what, sql=as_text([take]), role=role, is_automatic=True
        )
        yield Difference(finding, (take,))
    if others := tuple(name for name in attributes if name not in ours):
        fix = advice.undo_attributes(role, others)
        who = "a superuser" if fix.runner is advice.Runner.SUPERUSER else "a role that has it, too,"
        what = f"It was given {', '.join(others)}, and only {who} may take that away."
        finding = DriftFinding(
            DriftKind.ATTRIBUTE, Severity.ALARM, role, what, sql=fix.as_sql(), role=role, is_for_dba=True
        )
        yield Difference(finding)


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


def compare_members(rows: Sequence[Row], roles: Sequence[RoleFound], order: DriftOrder, me: Me) -> list[Difference]:
    """Roles of others that were made members of ours can do what nobody approved.

    `rows` are members without our mark, `roles` all roles with it: one that bears a forged tag is another's as well.
    It may be a login of another database that somebody renamed, so that a person has to look at it.
    """
    read_tag = order.installation.read_tag
    stored = {login.role_oid for login in order.logins}
    logins = {role.name for role in roles if role.oid in stored}  # whatever was made of their comments
    found = [
        (row["granted"], row["member"], row["grantor"], True)
        for row in rows
        if read_tag(row["tag"], row["granted"]) and row["member"] not in logins
    ]
    ours = {role.name for role in roles if read_tag(role.comment, role.name)}
    own = {role.oid for role in _own_roles(roles, order).values()}
    found += [
        (membership.granted, role.name, membership.grantor, False)
        for role in roles
        if order.installation.is_forged(role.comment, role.name) and role.oid not in own
        for membership in role.memberships
        if membership.granted in ours
    ]
    differences = []
    for granted, member, grantor, is_automatic in found:
        by = grantor if me.server_version >= 16 and grantor != me.name else None
        mend = revoke_memberships(granted, [member], by)
        finding = DriftFinding(
            DriftKind.MEMBERSHIP,
            Severity.ALARM,
            granted,
            f"Somebody made {member} a member of it.",
            sql=as_text([mend]),
            role=granted,
            is_automatic=is_automatic,
        )
        differences.append(Difference(finding, (mend,)))
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
        differences.append(Difference(finding, ends_sessions_of=row["oid"]))
    return differences
