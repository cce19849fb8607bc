"""Compares capability roles as roles: their attributes and memberships, and where else they are named.

Pure functions. What they hold in the resource's database stands in capabilities.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, Severity
from accessmgmt.provisioning.drift.difference import Difference, Me
from accessmgmt.provisioning.drift.logins import Membership, RoleFound, compare_attributes
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.passed_on import PassedOn
from accessmgmt.provisioning.session.conversation import Row
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.drift import as_text, reset_setting
from accessmgmt.provisioning.statements.ending import revoke_memberships
from accessmgmt.provisioning.statements.privileges import revoke_on

SHARED = frozenset({"DATABASE", "TABLESPACE", "PARAMETER"})
MOST_PASSED_ON = 200


def own_sets(roles: Sequence[RoleFound], order: DriftOrder) -> dict[int, RoleFound]:
    """Return the capability roles of this installation by OID, those without members too."""
    tags = [(role, order.installation.read_tag(role.comment, role.name)) for role in roles]
    return {role.oid: role for role, tag in tags if tag is not None and tag.kind == "set"}


def compare_set_roles(sets: Sequence[RoleFound], me: Me) -> list[Difference]:
    """A capability role has no attributes, may not log in, and is a member of nothing."""
    differences: list[Difference] = []
    for role in sets:
        attributes = (*(["LOGIN"] if role.can_login else []), *role.attributes)
        differences += compare_attributes(role.name, attributes, me)
        differences += _memberships(role, me)
    return differences


def _memberships(role: RoleFound, me: Me) -> Iterator[Difference]:
    for membership in role.memberships:
        by = membership.grantor if me.server_version >= 16 and membership.grantor != me.name else None
        take = revoke_memberships(membership.granted, [role.name], by)
        may = me.is_superuser or membership.may_revoke
        finding = DriftFinding(
            DriftKind.MEMBERSHIP,
            Severity.ALARM,
            role.name,
            f"It is a member of {membership.granted}: every login of this set has what that role has."
            + ("" if may else " The portal may not change that, and gives the set to nobody new."),
            sql=as_text([take]) if may else _for_superusers(membership, role.name, me),
            role=role.name,
            is_automatic=may,
            is_for_dba=not may,
        )
        yield Difference(finding, (take,) if may else ())


def _for_superusers(membership: Membership, role: str, me: Me) -> str:
    fix = advice.leave_roles(role, [(membership.granted, membership.grantor)], me.server_version)
    return replace(fix, runner=advice.Runner.SUPERUSER).as_sql()


def compare_named(
    rows: Sequence[Row], sets: dict[int, RoleFound], order: DriftOrder, me: Me
) -> tuple[list[Difference], list[tuple[RoleFound, str, int]]]:
    """Return what roles are named in besides, and the other databases in which a set was never given, to look there.

    `rows` come from drift_named.sql. The second part has role, database and number of objects.
    """
    logins = {login.role_oid: login for login in order.logins}
    differences: list[Difference] = []
    strange: list[tuple[RoleFound, str, int]] = []
    for row in rows:
        role, login = sets.get(row["oid"]), logins.get(row["oid"])
        if row["kind"] == "setting" and (role is not None or (login is not None and not row["is_held"])):
            differences.append(_setting(row, login.grant_id if login else "", me))
        if role is None:
            continue
        is_known = row["name"] in order.databases.get(role.name, frozenset())
        if row["kind"] == "policy":
            differences.append(_policy(row, role))
        elif row["kind"] == "elsewhere" and role.name in order.databases and not is_known:
            strange.append((role, row["name"], row["number"]))
        elif row["kind"] == "connect" and role.name in order.databases and not is_known:
            differences.append(_connect(row, role))
    return differences, strange


def _setting(row: Row, grant_id: str, me: Me) -> Difference:
    undo = reset_setting(row["role"], row["name"], row["detail"])
    may = me.is_superuser or row["is_held"]
    place = f" in {row['detail']}" if row["detail"] else ""
    finding = DriftFinding(
        DriftKind.SETTING,
        Severity.WARNING if grant_id else Severity.NOTE,
        row["role"],
        f"Somebody set {row['name']} for it{place}, which only an administrator may."
        if grant_id
        else f"Somebody set {row['name']} for it{place}: without effect, because nobody logs in as this role.",
        sql=as_text([undo]),
        role=row["role"],
        grant_id=grant_id,
        is_automatic=may,
        is_for_dba=not may,
    )
    return Difference(finding, (undo,) if may else ())


def _policy(row: Row, role: RoleFound) -> Difference:
    finding = DriftFinding(
        DriftKind.POLICY,
        Severity.NOTE,
        row["name"],
        f"The policy {row['detail']} is written for {role.name}. It decides which rows people with this set see, keeps"
        " the role from being dropped when nothing needs it any more, and up to 15 each of them can drop it.",
        role=role.name,
    )
    return Difference(finding)


def _connect(row: Row, role: RoleFound) -> Difference:
    take = revoke_on("DATABASE", [advice.quoted(row["name"])], role.name)
    finding = DriftFinding(
        DriftKind.PRIVILEGE,
        Severity.ALARM,
        f"database {row['name']}",
        "It may connect there, and no resource of the portal gives this set there.",
        sql=as_text([take]),
        role=role.name,
        is_automatic=row["is_held"],
        is_for_dba=not row["is_held"],
    )
    return Difference(finding, (take,) if row["is_held"] else ())


def compare_elsewhere(role: RoleFound, database: str, number: int, entries: Sequence[Row] | None) -> Difference:
    """What a capability role holds in a database in which the portal never gave its set.

    `entries` come from read_entries there, None when the portal could not look.
    """
    own = [row for row in entries or () if row["grantee_oid"] == role.oid and row["kind"] not in SHARED]
    names = dict.fromkeys((row["kind"], row["name"]) for row in own)
    take = tuple(revoke_on(kind, [name], role.name) for kind, name in names)
    text = f"-- Connected to {database}:\n{as_text(take)}" if take else ""
    unseen = " The portal could not look there." if entries is None else ""
    finding = DriftFinding(
        DriftKind.PRIVILEGE,
        Severity.ALARM,
        f"database {database}",
        f"It holds privileges on {number:,} object{'' if number == 1 else 's'} there, and no resource of the portal"
        f" gives this set there.{unseen}",
        sql=text,
        role=role.name,
        is_for_dba=not take,
    )
    return Difference(finding, take, database=database)


def compare_passed_on(role: RoleFound, gifts: Sequence[PassedOn], me: Me, database: str) -> list[Difference]:
    """What others have from a capability role, to which a DBA gave something WITH GRANT OPTION: no set says so.

    Whoever passed it on, it would outlive their grants. The first MOST_PASSED_ON are told, all are taken back.
    """
    place = "" if database == me.database else f"database {database}: "
    differences = []
    for gift in gifts[:MOST_PASSED_ON]:
        finding = DriftFinding(
            DriftKind.PASSED_ON,
            Severity.ALARM,
            f"{place}{gift.name}" if gift.kind == "TABLE" else f"{place}{gift.kind.lower()} {gift.name}",
            f"{gift.grantee} has {', '.join(gift.privileges)} on it: {gift.grantor} passed that on, which nobody"
            " approved.",
            sql=advice.take_back_by_hand([gift.gift], database).as_sql(),
            role=role.name,
            is_automatic=True,
        )
        role_itself = FoundRole(role.name, role.oid, (), me.name)
        differences.append(Difference(finding, takes_back=role_itself, database=place and database))
    return differences
