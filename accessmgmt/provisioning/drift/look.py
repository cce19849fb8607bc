"""Looks at a target for all that differs from what the portal gave there.

A fixed number of questions, whatever the number of tables and logins: one message with a query for each permission set
(the same query that apply decides by), one with seven over all roles, and one about what was left in the sets' names.
Only what is found may ask for more.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg

from accessmgmt.domain.drift import DriftOrder
from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import SetOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import database_session
from accessmgmt.provisioning.connect.hosts import Servers
from accessmgmt.provisioning.drift.capabilities import MOST_OWNED, compare_owned, compare_set
from accessmgmt.provisioning.drift.difference import Difference, Me, read_me
from accessmgmt.provisioning.drift.gifts import RELATIONS, compare_direct, compare_grantors, gifts_to
from accessmgmt.provisioning.drift.logins import (
    RoleFound,
    compare_logins,
    compare_members,
    compare_sessions,
    role_found,
)
from accessmgmt.provisioning.drift.roles import (
    compare_elsewhere,
    compare_named,
    compare_passed_on,
    compare_set_roles,
    own_sets,
)
from accessmgmt.provisioning.leftovers.drop import KEEP
from accessmgmt.provisioning.leftovers.new_owner import likely_owner, named_owner
from accessmgmt.provisioning.leftovers.passed_on import find_passed_on, passed_on_by
from accessmgmt.provisioning.privileges.read import Found, Scope, inspect_sets, scope_of
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import Statement
from accessmgmt.provisioning.statements.chains import read_entries, read_givers
from accessmgmt.provisioning.statements.drift import (
    READ_ACTING_AS,
    read_grantors,
    read_members,
    read_named,
    read_owned_by_sets,
    read_roles,
    read_sessions,
)
from accessmgmt.provisioning.statements.ending import UNSETTLED

MOST_IDLE = 100
"""Idle sets that are compared in one look; the others have their turn later."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found: the differences, and the number of relations of the sets that are given now."""

    differences: tuple[Difference, ...]
    relation_count: int


def scopes_of(
    session: Session,
    target: Target,
    installation: Installation,
    given: Collection[PermissionSet],
    idle: Collection[PermissionSet],
) -> list[Scope]:
    """Return what the sets mean here; of the idle ones only what is too much counts."""
    version, heir = session.server_version, target.leftover_owner
    scopes = [scope_of(SetOrder(installation, permissions), version, heir) for permissions in given]
    return scopes + [
        replace(scope_of(SetOrder(installation, permissions), version, heir), gives=False) for permissions in idle
    ]


def _about_roles(wanted: DriftOrder, version: int) -> list[Statement]:
    """Return the questions about all roles of a server."""
    installation, logins = wanted.installation, wanted.logins
    given = [permissions.capability_role_name(installation.id) for permissions in wanted.permission_sets]
    names, oids = [login.role_name for login in logins], [login.role_oid for login in logins]
    return [
        READ_ACTING_AS,
        read_roles(installation, names, oids, version),
        read_members(installation),
        read_named(installation),
        read_grantors(given),
        read_sessions(wanted.former_oids),
        read_owned_by_sets(installation, MOST_OWNED),
    ]


def look(session: Session, servers: Servers, wanted: DriftOrder) -> Look:
    """Compare the database, and the roles of the server, with what the portal gave."""
    installation, version, target = wanted.installation, session.server_version, servers.named
    questions = _about_roles(wanted, version)
    me_rows, role_rows, members, named, grantors, sessions, owned = session.send(questions)
    me, roles = read_me(me_rows[0], version), [role_found(row) for row in role_rows]
    sets = own_sets(roles, wanted)
    idle = idle_here(installation, wanted.idle_sets, {role.name for role in sets.values()})
    scopes = scopes_of(session, target, installation, wanted.permission_sets, idle)
    found = inspect_sets(session, scopes)
    own = {role.name for role in roles if installation.read_tag(role.comment, role.name)}
    differences = [
        difference
        for each, scope in zip(found, scopes, strict=True)
        for difference in compare_set(each, scope, installation, own, me)
    ]
    differences += compare_logins(roles, wanted, me)
    differences += compare_set_roles(list(sets.values()), me)
    differences += compare_members(members, roles, wanted, me)
    differences += _compare_gifts(session, wanted, sets, found, (named, grantors), me)
    differences += compare_sessions(sessions)
    named_differences, strange = compare_named(named, sets, wanted, me)
    differences += named_differences
    for place in strange:
        differences += _look_elsewhere(session, servers.writable, me, *place)
    differences += _passed_on(session, sets, me)
    differences += compare_owned(
        [row for row in owned if installation.read_tag(row["tag"], row["role"])],
        owner=likely_owner(session, target) if owned else named_owner(target),
        is_kept=target.leftovers == KEEP,
        acting_as=me.name,
        is_superuser=me.is_superuser,
        server_version=version,
    )
    count = sum(each.scope.relation_count for each, scope in zip(found, scopes, strict=True) if scope.gives)
    return Look(tuple(_by_hand(difference, me) for difference in differences), count)


def _by_hand(difference: Difference, me: Me) -> Difference:
    """Show what the portal may mend itself so that a DBA can run it: as the role that the portal acts as."""
    finding = difference.finding
    if me.is_superuser or finding.is_for_dba or not finding.sql or finding.sql.startswith("--"):
        return difference
    script = advice.as_the_portal(finding.sql, me.name, me.server_version).as_sql()
    return replace(difference, finding=replace(finding, sql=script))


def idle_here(
    installation: Installation, idle_sets: Collection[PermissionSet], roles: Collection[str]
) -> list[PermissionSet]:
    """Return the idle sets whose capability role is there; any MOST_IDLE of them, so that each has its turn."""
    names = {p.capability_role_name(installation.id): p for p in idle_sets}
    there = [permissions for name, permissions in names.items() if name in roles]
    return there if len(there) <= MOST_IDLE else random.sample(there, MOST_IDLE)


def _compare_gifts(
    session: Session,
    wanted: DriftOrder,
    sets: dict[int, RoleFound],
    found: Sequence[Found],
    rows: tuple[Sequence[Row], Sequence[Row]],
    me: Me,
) -> list[Difference]:
    """What logins were given directly, and what others than the owners gave to capability roles.

    `rows` are those of drift_named.sql and drift_grantors.sql. What is no relation is asked for only of a capability
    role that has too much.
    """
    named, grantors = rows
    logins = [login.role_oid for login in wanted.logins]
    suspects = [
        each.facts.capability_oid for each in found if each.facts.capability_oid and any(d.surplus for d in each.drift)
    ]
    entries = session.send([read_entries([*logins, *suspects], me.server_version)])[0] if logins or suspects else []
    direct = gifts_to(entries, set(logins))
    others = [gift for gift in gifts_to(entries, set(suspects)) if gift["kind"] not in RELATIONS]
    oids = {gift[key] for gift in (*direct, *others, *grantors) for key in ("grantor_oid", "owner")}
    givers = {}
    if oids:
        givers = {row["oid"]: row for row in session.send([read_givers(sorted(oids), me.server_version)])[0]}
    capabilities = {role.oid: role.name for role in sets.values()}
    mine = [gift for gift in (*grantors, *others) if gift["grantee_oid"] in capabilities]
    return [
        *compare_direct(direct, named, givers, wanted, me),
        *compare_grantors(mine, capabilities, givers, wanted, me),
    ]


def _look_elsewhere(
    session: Session, target: Target, me: Me, role: RoleFound, database: str, number: int
) -> list[Difference]:
    """Look what a capability role holds, and passed on, in another database, where it should hold nothing."""
    try:
        with database_session(target, database, session.budget) as there:
            entries = there.send([read_entries([role.oid], there.server_version)])[0]
    except (TargetError, psycopg.Error):
        return [compare_elsewhere(role, database, number, None)]
    passed_on = compare_passed_on(role, passed_on_by(entries, [role.oid]), me, database)
    return [*passed_on, compare_elsewhere(role, database, number, entries)]


def _passed_on(session: Session, sets: Mapping[int, RoleFound], me: Me) -> list[Difference]:
    """Look what capability roles passed on, also those that nobody uses now: nobody else would take it back."""
    rows = session.ask_one(UNSETTLED, {"sets": [role.name for role in sets.values()]}) if sets else []
    differences: list[Difference] = []
    for oid in [row["oid"] for row in rows if row["passed_on"] and row["oid"] in sets]:
        differences += compare_passed_on(sets[oid], find_passed_on(session, [oid]), me, me.database)
    return differences
