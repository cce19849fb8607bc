"""From what was found to what has to be done to the capability role: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from accessmgmt.provisioning.privileges.read import OUTSIDE, Drift, Found, Scope
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.advice import Advice, Shared
from accessmgmt.provisioning.statements.base import Statement
from accessmgmt.provisioning.statements.locks import CHUNK_SIZE, hold, lock_schemas
from accessmgmt.provisioning.statements.privileges import (
    grant_future,
    grant_on,
    grant_tables,
    revoke_beside_connect,
    revoke_future,
    revoke_on,
    revoke_tables,
)

MOST_SHARED = 5
WORDS = {"schema": "SCHEMA", "database": "DATABASE"}
FRAME = frozenset({*WORDS, "default", "other"})
FRAME_WANTED = ("USAGE", "CONNECT")  # what a set means on schemas and the database


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most CHUNK_SIZE relations, or sequences, by OID. `outside` are those that are not in the set at all."""

    kind: str
    oids: tuple[int, ...]
    outside: frozenset[int]


@dataclass(frozen=True, slots=True)
class CapabilityPlan:
    """What to do, in this order: `frame`, then each chunk, everything in a transaction of its own.

    `frame` are the differences of schemas, the database, future objects and what no set ever means, at most CHUNK_SIZE
    at a time. `ungranted` are relations that match, but that the admin role may not share. `beyond` is what the role
    has too much, and only others can take back: nobody new gets it. `gifts` is the same of what strangers gave of their
    own: it is told, and keeps nobody from the set.
    """

    frame: tuple[tuple[Drift, ...], ...]
    chunks: tuple[Chunk, ...]
    ungranted: tuple[Drift, ...]
    refused: tuple[Drift, ...]
    beyond: tuple[Drift, ...] = ()
    gifts: tuple[Drift, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.frame and not self.chunks


def plan_capability(found: Found) -> CapabilityPlan:
    """Decide what to mend."""
    ungranted = _not_ours_to_give(found, "relation")
    return CapabilityPlan(
        frame=_parts([d for d in found.drift if d.kind in FRAME and d.can_grant]),
        chunks=tuple(chunk for kind in ("sequence", "relation") for chunk in _chunks(kind, found.drift)),
        ungranted=ungranted,
        refused=_refused(found, ungranted),
        beyond=tuple(d for d in found.drift if d.is_beyond_us),
        gifts=gifts_in(found),
    )


def _not_ours_to_give(found: Found, *kinds: str) -> tuple[Drift, ...]:
    return tuple(d for d in found.drift if d.kind in kinds and d.lacking and not d.can_grant)


def _refused(found: Found, ungranted: tuple[Drift, ...]) -> tuple[Drift, ...]:
    """Return what makes the whole order impossible.

    That is a relation that the set names exactly, the database, and, where no relation at all can be given, each of
    them with its schema.
    """
    frame = _not_ours_to_give(found, "schema", "database")
    if ungranted and len(ungranted) >= found.scope.relation_count:
        return tuple(dict.fromkeys((*ungranted, *frame)))
    named = [d for d in ungranted if d.is_named]
    return tuple(dict.fromkeys((*named, *(d for d in frame if d.kind == "database"))))


def gifts_in(found: Found) -> tuple[Drift, ...]:
    """Return what strangers gave to the capability role of their own."""
    return tuple(d for d in found.drift if d.is_strangers)


def _parts(drift: Sequence[Drift]) -> tuple[tuple[Drift, ...], ...]:
    return tuple(tuple(drift[i : i + CHUNK_SIZE]) for i in range(0, len(drift), CHUNK_SIZE))


def _chunks(kind: str, drift: Sequence[Drift]) -> Iterator[Chunk]:
    for part in _parts([d for d in drift if d.kind == kind and d.can_grant]):
        yield Chunk(kind, tuple(d.oid for d in part), frozenset(d.oid for d in part if d.is_outside))


def plan_frame(drift: Sequence[Drift], scope: Scope) -> list[Statement]:
    """Return the statements that mend one part of a plan's frame."""
    if schemas := list(dict.fromkeys(d.name for d in drift if d.kind in {"schema", "default"} and d.name)):
        return [lock_schemas(schemas), *_mend_frame(drift, scope.capability)]
    return _mend_frame(drift, scope.capability)


def _mend_frame(drift: Sequence[Drift], role: str) -> list[Statement]:
    statements: list[Statement] = []
    for kind, word in WORDS.items():
        mine = [d for d in drift if d.kind == kind]
        surplus = [d.name for d in mine if d.surplus]
        # What had too much has lost everything by then, and is given again what it should have.
        lacking = [d.name for d in mine if d.lacking or (d.surplus and not d.is_outside)]
        if surplus:
            statements.append(revoke_on(word, surplus, role))
        if lacking:
            statements.append(grant_on(word, ["CONNECT" if kind == "database" else "USAGE"], lacking, role))
    for d in drift:
        if d.kind == "default":
            statements += mend_future(d, role)
        elif d.kind == "other":
            statements += take_other(d, role)
    return statements


def mend_future(drift: Drift, role: str) -> list[Statement]:
    """Return the statements that bring an owner's default privileges in order; `lacking` is then all that is wanted."""
    take = [revoke_future(drift.owner, drift.name, drift.relkind, role)] if drift.surplus else []
    if not drift.lacking:
        return take
    return [*take, grant_future(drift.owner, drift.name, drift.relkind, drift.lacking, role)]


def take_other(drift: Drift, role: str) -> list[Statement]:
    """Return the statements that take back what no set ever means; none for what this version of the portal cannot say.

    CONNECT on another database stays: it is what another resource of the portal gives there.
    """
    if drift.relkind == "DATABASE":
        return revoke_beside_connect(drift.name, role)
    return [revoke_on(drift.relkind, [drift.name], role)] if drift.relkind else []


def mending(drift: Drift, scope: Scope) -> list[Statement]:
    """Return the statements that a DBA would run for one difference; a repair locks and does them in chunks."""
    role = scope.capability
    if drift.kind in FRAME:
        return _mend_frame([drift], role)
    take, give, wanted = revoke_tables, grant_tables, scope.wanted
    if drift.kind == "sequence":
        take, give, wanted = partial(revoke_on, "SEQUENCE"), partial(grant_on, "SEQUENCE"), scope.sequence_wanted
    taken = [take([drift.name], role)] if drift.surplus else []
    return taken if drift.is_outside or drift.is_strangers else [*taken, give(wanted, [drift.name], role)]


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """The drift of one relation or sequence, read inside the transaction that mends it."""

    oid: int
    name: str
    relkind: str
    lacking: tuple[str, ...]
    surplus: tuple[str, ...]


def wanted_on(chunk: Chunk, scope: Scope) -> tuple[str, ...]:
    """Return the privileges that the capability role has on what is in the chunk, and in the set."""
    return scope.sequence_wanted if chunk.kind == "sequence" else scope.wanted


def wanted_of(drift: Drift, scope: Scope) -> tuple[str, ...]:
    """Return what a set means on something of this kind."""
    return {"sequence": scope.sequence_wanted, "relation": scope.wanted}.get(drift.kind, FRAME_WANTED)


def drift_in(rows: Sequence[ChunkRow], chunk: Chunk, scope: Scope) -> list[Drift]:
    """Return what a chunk's rows differ in. On what is not in the set, all that is held is too much."""
    wanted, differences = wanted_on(chunk, scope), []
    for row in rows:
        lacking, surplus = row.lacking, row.surplus
        if row.oid in chunk.outside:
            held = (*(name for name in wanted if name not in row.lacking), *row.surplus)
            lacking, surplus = (), (OUTSIDE, *dict.fromkeys(held)) if held else ()
        if lacking or surplus:
            differences.append(Drift(chunk.kind, row.oid, row.name, row.relkind, lacking, surplus, "", True, False))
    return differences


def plan_chunk(rows: Sequence[ChunkRow], chunk: Chunk, scope: Scope) -> list[Statement]:
    """Return the statements that bring a chunk in order, its locks first; none when it is."""
    wanted, role = wanted_on(chunk, scope), scope.capability
    outside = [r for r in rows if r.oid in chunk.outside and (r.surplus or r.lacking != wanted)]
    inside = [r for r in rows if r.oid not in chunk.outside and (r.lacking or r.surplus)]
    if not outside and not inside:
        return []
    statements = hold([(r.name, r.relkind) for r in inside + outside])
    is_sequence = chunk.kind == "sequence"
    if surplus := [r.name for r in inside if r.surplus] + [r.name for r in outside]:
        take = partial(revoke_on, "SEQUENCE") if is_sequence else revoke_tables
        statements.append(take(surplus, role))
    if lacking := [r.name for r in inside]:
        give = partial(grant_on, "SEQUENCE") if is_sequence else grant_tables
        statements.append(give(wanted, lacking, role))
    return statements


def sharing_fix(
    refused: Sequence[Drift], server_version: int, acting_as: str, superusers: frozenset[str], database: str
) -> list[Advice]:
    """Return what lets the admin role share these objects: membership in their owners.

    Nobody is made a member of a superuser: what one owns is shared by a grant option, object by object.
    """
    owners = [d.owner for d in refused if d.owner not in superusers]
    single = [d for d in refused if d.owner in superusers][:MOST_SHARED]
    objects = [Shared("TABLE" if d.kind == "relation" else d.kind.upper(), d.name, d.lacking) for d in single]
    return [
        *([advice.share_owners(owners, acting_as, server_version)] if owners else []),
        *([advice.share_objects(objects, acting_as, database)] if objects else []),
    ]
