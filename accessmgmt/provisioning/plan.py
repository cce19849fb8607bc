"""From what was found to what has to be done to the capability role: a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accessmgmt.provisioning.inspect import Drift, Found, Scope
from accessmgmt.provisioning.statements import (
    ADMIN_ROLE,
    Statement,
    grant_future,
    grant_on,
    grant_tables,
    lock_relations,
    revoke_on,
    revoke_tables,
)

CHUNK_SIZE = 200
LOCKABLE = frozenset({"r", "p", "v"})  # a materialized view or foreign table cannot be locked: 42809


@dataclass(frozen=True, slots=True)
class CapabilityPlan:
    """What to do, in this order: `frame` in one transaction, then each chunk of relation OIDs in its own.

    `ungranted` are relations that match, but that the admin role may not share.
    """

    frame: tuple[Statement, ...]
    chunks: tuple[tuple[int, ...], ...]
    ungranted: tuple[Drift, ...]
    refused: tuple[Drift, ...]

    @property
    def is_empty(self) -> bool:
        return not self.frame and not self.chunks


def plan_capability(found: Found, scope: Scope) -> CapabilityPlan:
    """Decide what to mend.

    `refused` is what makes the whole order impossible: a relation that the set names exactly, a schema or the
    database that nobody but its owner may share.
    """
    relations = [d for d in found.drift if d.kind == "relation"]
    ungranted = tuple(d for d in relations if d.lacking and not d.can_grant)
    mendable = [d.oid for d in relations if d.can_grant]
    lacking_frame = [d for d in found.drift if d.kind in {"schema", "database"} and d.lacking and not d.can_grant]
    refused = [d for d in ungranted if d.is_named] + [d for d in lacking_frame if d.kind == "database"]
    if ungranted and len(ungranted) >= found.scope.relation_count:
        refused = list(ungranted) + [d for d in lacking_frame if d not in refused]
    return CapabilityPlan(
        frame=tuple(_frame(found.drift, scope)),
        chunks=tuple(tuple(mendable[i : i + CHUNK_SIZE]) for i in range(0, len(mendable), CHUNK_SIZE)),
        ungranted=ungranted,
        refused=tuple(dict.fromkeys(refused)),
    )


def _frame(drift: Sequence[Drift], scope: Scope) -> list[Statement]:
    """Everything but relations: few objects, so one transaction."""
    role = scope.capability
    statements: list[Statement] = []
    for kind, word in (("schema", "SCHEMA"), ("sequence", "SEQUENCE"), ("database", "DATABASE")):
        mine = [d for d in drift if d.kind == kind and d.can_grant]
        surplus = [d.name for d in mine if d.surplus]
        # What had too much has lost everything by then, and is given again what it should have.
        lacking = [d.name for d in mine if d.lacking or (d.surplus and "OUTSIDE" not in d.surplus)]
        if surplus:
            statements.append(revoke_on(word, surplus, role))
        if lacking:
            statements.append(grant_on(word, ["CONNECT" if kind == "database" else "USAGE"], lacking, role))
    statements.extend(grant_future(d.owner, d.name, d.relkind, d.lacking, role) for d in drift if d.kind == "default")
    return statements


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """The drift of one relation, read inside the transaction that mends it."""

    oid: int
    name: str
    relkind: str
    lacking: tuple[str, ...]
    surplus: tuple[str, ...]


def plan_chunk(rows: Sequence[ChunkRow], scope: Scope, outside: frozenset[int], server_version: int) -> list[Statement]:
    """Return the statements that bring a chunk's relations in order; none when they are."""
    outside_rows = [r for r in rows if r.oid in outside and (r.surplus or r.lacking != scope.wanted)]
    inside = [r for r in rows if r.oid not in outside and (r.lacking or r.surplus)]
    touched = inside + outside_rows
    statements: list[Statement] = []
    lockable = [r.name for r in touched if r.relkind in LOCKABLE]
    if server_version <= 17 and lockable:
        statements.append(lock_relations(lockable))
    surplus = [r.name for r in inside if r.surplus] + [r.name for r in outside_rows]
    if surplus:
        statements.append(revoke_tables(surplus, scope.capability))
    if inside:
        statements.append(grant_tables(scope.wanted, [r.name for r in inside], scope.capability))
    return statements


def membership_fix(owners: Sequence[str], server_version: int, acting_as: str = ADMIN_ROLE) -> str:
    """Return the SQL that a DBA runs so that the admin role may share what these owners have."""
    option = " WITH INHERIT TRUE, SET FALSE" if server_version >= 16 else ""
    quoted = ['"' + name.replace('"', '""') + '"' for name in (*dict.fromkeys(owners), acting_as)]
    return " ".join(f"GRANT {owner} TO {quoted[-1]}{option};" for owner in quoted[:-1])


def sharing_fix(refused: Sequence[Drift], server_version: int, acting_as: str, superusers: frozenset[str]) -> str:
    """Return the SQL that lets the admin role share these objects: membership in their owners.

    Nobody is made a member of a superuser: what one owns is shared by a grant option, object by object.
    """
    owners = [d.owner for d in refused if d.owner not in superusers]
    membership = [membership_fix(owners, server_version, acting_as)] if owners else []
    quoted = '"' + acting_as.replace('"', '""') + '"'
    options = [
        f"GRANT {', '.join(d.lacking)} ON {'' if d.kind == 'relation' else d.kind.upper() + ' '}{d.name} TO {quoted}"
        " WITH GRANT OPTION;"
        for d in refused
        if d.owner in superusers
    ]
    return " ".join([*membership, *options[:5]])
