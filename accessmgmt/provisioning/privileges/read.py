"""Reads what there is on a target, in one round trip: the two roles, and the drift of the capability role."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from accessmgmt.domain.object_names import EVERYTHING, is_pattern, object_name
from accessmgmt.domain.orders import SetOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import MOST_LISTED_TABLES
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements.privileges import PRIVILEGE_LETTERS
from accessmgmt.provisioning.statements.reading import DRIFT, FACTS, FINGERPRINT, READ_STRANGERS

DRIFT_KINDS = frozenset({"relation", "sequence", "schema", "database", "default", "other"})
OUTSIDE = "OUTSIDE"  # among the surplus: this is not in the set at all


@dataclass(frozen=True, slots=True)
class Facts:
    """The login role and the capability role as they are. `read_at` is our monotonic clock when the reply had come.

    `system_identifier` is the cluster's, "" where it may not be read.
    """

    server_now: datetime
    read_at: float
    in_recovery: bool
    system_identifier: str
    acting_as: str
    login_oid: int | None
    login_valid_until: datetime | None
    login_is_fenced: bool
    login_is_elevated: bool
    login_tag: str | None
    login_memberships: tuple[int, ...]
    capability_oid: int | None
    capability_tag: str | None
    capability_memberships: tuple[tuple[str, str], ...] = ()
    capability_attributes: tuple[str, ...] = ()
    capability_mentions: int = 0
    capability_is_armed: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """One object on which the capability role lacks something or has too much.

    `kind` is relation, sequence, schema, database, default (what `owner` will create; `name` is the schema, "" for
    all of them) or other; `relkind` is then SQL's word for it ("ROUTINE", "" for what no version known here has).
    `name` is quoted by the server. `is_named` says for a relation that the set names it exactly, for a schema or
    database that everybody has the privilege; `is_theirs` that the object is a grantee's own, `is_strangers` that
    it is of somebody else who has nothing to do with what the set names (see queries/strangers.sql).
    """

    kind: str
    oid: int
    name: str
    relkind: str
    lacking: tuple[str, ...]
    surplus: tuple[str, ...]
    owner: str
    can_grant: bool
    is_named: bool
    is_theirs: bool = False
    is_strangers: bool = False

    @property
    def is_outside(self) -> bool:
        """Whether nothing on this object is in the set."""
        return OUTSIDE in self.surplus

    @property
    def is_beyond_us(self) -> bool:
        """Whether it has too much that only others can take back, and that nobody gave of their own."""
        return bool(self.surplus) and not self.can_grant and not self.is_theirs and not self.is_strangers


@dataclass(frozen=True, slots=True)
class ScopeFound:
    """What the set matches: OIDs as PostgreSQL writes arrays, to hand back to it, and the first names to show.

    `sample_oids` is one relation of each pair of owner and ACL: what holds for it, holds for all of its kind.
    `sequences` are the first of those that its tables take their numbers from.
    """

    relation_count: int
    relation_oids: str
    sample_oids: str
    schema_oids: str
    listed: tuple[tuple[int, str, str, str], ...]
    sequence_count: int = 0
    sequences: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All that apply needs to know before it decides. `fingerprint` is the catalog's, read before all the rest.

    `role_name` is the login role's that was looked for beside the capability role, None where none was.
    """

    facts: Facts
    drift: tuple[Drift, ...]
    scope: ScopeFound
    unmatched: tuple[str, ...]
    fingerprint: str = ""
    role_name: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """A permission set as the parameters of the queries. Where it is not given now, only what is too much counts.

    `capability` and `tag` are the name of its capability role and the comment on that.
    """

    permissions: PermissionSet
    capability: str
    tag: str
    wanted: tuple[str, ...]
    sequence_wanted: tuple[str, ...]
    values: dict[str, object] = field(repr=False)
    gives: bool = True


def scope_of(order: SetOrder, server_version: int, leftover_owner: str = "") -> Scope:
    """Translate a permission set for a server of this version.

    `leftover_owner` is who takes over what logins leave there, "" when the resource names nobody: nothing that it owns
    is in any set.
    """
    permissions = order.permissions
    privileges = permissions.privileges_on(server_version)
    wanted = tuple(p.value for p in privileges)
    values: dict[str, object] = {
        "capability": order.capability,
        "wanted": list(wanted),
        "letters": "".join(PRIVILEGE_LETTERS[p] for p in privileges),
        "schemas": [object_name(entry) for entry in permissions.schemas],
        "schema_patterns": [as_regex(entry) for entry in permissions.schemas],
        "tables": [object_name(entry) for entry in permissions.tables],
        "table_patterns": [as_regex(entry) for entry in permissions.tables],
        "all_tables": EVERYTHING in permissions.tables,
        "with_defaults": permissions.tables == (EVERYTHING,),
        "sequence_wanted": list(permissions.sequence_privileges),
        "leftover_owner": leftover_owner,
        "most": MOST_LISTED_TABLES,
    }
    return Scope(permissions, order.capability, order.tag, wanted, permissions.sequence_privileges, values)


def as_regex(entry: str) -> str | None:
    """Return the anchored regular expression of a pattern such as `events_*`; None for a name."""
    if not is_pattern(entry):
        return None
    return "^" + ".*".join(re.escape(part) for part in entry.split("*")) + "$"


def inspect_target(session: Session, scope: Scope, role_name: str | None = None) -> Found:
    """Read everything in one round trip, with the login role of this name, if any.

    Where somebody gave what only others may take back, it takes two.
    """
    fingerprint_rows, facts_rows, drift_rows = session.ask_prepared(
        [
            (FINGERPRINT, {}),
            (FACTS, {"role": role_name, "capability": scope.capability}),
            (DRIFT, scope.values),
        ]
    )
    found = _found(scope, facts_rows, drift_rows, session.cluster)
    found = replace(found, fingerprint=_fingerprint(fingerprint_rows[0]), role_name=role_name)
    return _know_strangers(session, scope, found)


def _know_strangers(session: Session, scope: Scope, found: Found) -> Found:
    """Mark what strangers gave of their own. Asked only where there is something that the portal may not take back."""
    suspects = [number for number, drift in enumerate(found.drift) if drift.is_beyond_us]
    if not suspects:
        return found
    asked = [found.drift[number] for number in suspects]
    values = {
        "kinds": [drift.kind for drift in asked],
        "words": [drift.relkind for drift in asked],
        "oids": [drift.oid for drift in asked],
        "owners": [drift.owner for drift in asked],
    }
    rows = session.ask(READ_STRANGERS, {**scope.values, **values})
    theirs = {suspects[row["number"] - 1] for row in rows}
    drift = tuple(
        replace(each, is_strangers=True) if number in theirs else each for number, each in enumerate(found.drift)
    )
    return replace(found, drift=drift)


def read_facts(session: Session, scope: Scope, role_name: str) -> tuple[Facts, str]:
    """Read the two roles and the catalog's fingerprint, which says whether a comparison would find anything new."""
    fingerprint_rows, facts_rows = session.ask_prepared(
        [(FINGERPRINT, {}), (FACTS, {"role": role_name, "capability": scope.capability})]
    )
    return _facts(facts_rows[0], time.monotonic(), session.cluster), _fingerprint(fingerprint_rows[0])


def _fingerprint(row: Row) -> str:
    return f"{row['relations']} {row['ages'] - row['relations'] * row['now']} {row['others']}"


def inspect_sets(session: Session, scopes: Sequence[Scope]) -> list[Found]:
    """Read the capability roles of several permission sets in two round trips, without any login role.

    As with inspect_target, strangers' gifts ask for one more.
    """
    questions = [
        question
        for scope in scopes
        for question in ((FACTS, {"role": None, "capability": scope.capability}), (DRIFT, scope.values))
    ]
    # The first two plan the queries on a connection that does not know them yet.
    answers = [answer for part in (questions[:2], questions[2:]) if part for answer in session.ask_prepared(part)]
    return [
        _know_strangers(session, scope, _found(scope, answers[2 * number], answers[2 * number + 1], session.cluster))
        for number, scope in enumerate(scopes)
    ]


def _found(scope: Scope, facts_rows: list[Row], drift_rows: list[Row], cluster: str) -> Found:
    return Found(
        facts=_facts(facts_rows[0], time.monotonic(), cluster),
        drift=tuple(
            _drift(row) for row in drift_rows if row["kind"] in DRIFT_KINDS and (scope.gives or row["surplus"])
        ),
        scope=_scope_found({row["kind"]: row for row in drift_rows}),
        unmatched=tuple(row["name"] for row in drift_rows if row["kind"] == "unmatched"),
    )


def _scope_found(rows: dict[str, Row]) -> ScopeFound:
    return ScopeFound(
        relation_count=rows["relations"]["oid"],
        relation_oids=rows["relations"]["name"],
        sample_oids=rows["samples"]["name"],
        schema_oids=rows["schemas"]["name"],
        listed=tuple((oid, schema, name, kind) for oid, schema, name, kind in json.loads(rows["listed"]["name"])),
        sequence_count=rows["sequences"]["oid"],
        sequences=tuple((oid, schema, name) for oid, schema, name in json.loads(rows["sequences"]["name"])),
    )


def _facts(row: Row, read_at: float, cluster: str) -> Facts:
    return Facts(
        server_now=row["server_now"],
        read_at=read_at,
        in_recovery=row["in_recovery"],
        system_identifier=cluster,
        acting_as=row["acting_as"],
        login_oid=row["login_oid"],
        login_valid_until=row["login_valid_until"],
        login_is_fenced=bool(row["login_is_fenced"]),
        login_is_elevated=bool(row["login_is_elevated"]),
        login_tag=row["login_tag"],
        login_memberships=tuple(row["login_memberships"]),
        capability_oid=row["capability_oid"],
        capability_tag=row["capability_tag"],
        capability_memberships=tuple(_pair(text) for text in row["capability_memberships"]),
        capability_attributes=tuple(row["capability_attributes"]),
        capability_mentions=row["capability_mentions"],
        capability_is_armed=bool(row["capability_is_armed"]),
    )


def _drift(row: Row) -> Drift:
    return Drift(
        kind=row["kind"],
        oid=row["oid"],
        name=row["name"],
        relkind=row["relkind"],
        lacking=tuple(row["lacking"]),
        surplus=tuple(row["surplus"]),
        owner=row["owner"],
        can_grant=bool(row["can_grant"]),
        is_named=bool(row["is_named"]),
        is_theirs=bool(row["is_theirs"]),
    )


def _pair(text: str) -> tuple[str, str]:
    granted, _, grantor = text.partition("\n")
    return granted, grantor
