"""Takes away, in one database, all that depends on a role: what it was given, by whomever, and what it passed on.

DROP OWNED takes only what the owners of the objects gave, and of these only the owners that the acting role belongs to.
So the portal steps into the owners and grantors that it made itself (logins and capability roles), for as long as the
transaction lasts. Roles of others are never stepped into: what they gave stays, and is told to a DBA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.held_up import Blocker, insist
from accessmgmt.provisioning.leftovers.passed_on import PassedOn, gifts_in, take_back_passed_on
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements.base import COMMIT, Statement
from accessmgmt.provisioning.statements.chains import (
    READ_ME,
    act_as,
    lend,
    read_entries,
    read_givers,
    revoke_exactly,
    step_out,
    take_back,
)
from accessmgmt.provisioning.statements.drift import read_held
from accessmgmt.provisioning.statements.ending import drop_owned, guard_owns_nothing, revoke_memberships, step_into
from accessmgmt.provisioning.statements.locks import CHUNK_SIZE, hold, lock_schemas
from accessmgmt.provisioning.statements.privileges import revoke_on, revoke_tables

REFUSED = "42501"


@dataclass(slots=True)
class Cleared:
    """What came of it besides: who lost what was passed on, and whose sessions had to be cut."""

    passed_on: list[PassedOn] = field(default_factory=list)
    cut: list[Blocker] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Clearing:
    """One role, in the database that the session is connected to; every transaction starts with `beginning`."""

    session: Session
    target: Target
    role: FoundRole
    beginning: Sequence[Statement]
    cleared: Cleared = field(default_factory=Cleared)

    @property
    def is_superuser(self) -> bool:
        return self.session.conn.info.parameter_status("is_superuser") == "on"

    def insist(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Run a transaction, past our own logins that keep it waiting; return the rows of each statement."""
        results: list[list[Row]] = []

        def work() -> None:
            results[:] = self.session.send([*self.beginning, *statements, COMMIT])

        self.cleared.cut += insist(self.session, self.target, work, f"What {self.role.name} left")
        return results

    def held(self) -> list[Row]:
        return self.session.send([read_held(self.role.oid)])[0]


def clear_role(
    session: Session, target: Target, role: FoundRole, beginning: Sequence[Statement], first: Sequence[Statement]
) -> Cleared:
    """Take everything away that depends on the role here. `first` deals with what it owns, before DROP OWNED.

    Raises psycopg.Error of SQLSTATE 42501 when we may not, and HeldUp when somebody holds on to it.
    """
    clearing = Clearing(session, target, role, beginning)
    clearing.cleared.passed_on += take_back_passed_on(session, role.name, role.oid, clearing.insist).lost
    _revoke_held(clearing)
    _drop_owned(clearing, first)
    _drop_as_grantors(clearing)
    return clearing.cleared


def _revoke_held(clearing: Clearing) -> None:
    """Revoke in locked chunks what the role holds on relations and sequences.

    DROP OWNED would take it away as well, and let the application's DDL beside it fail. What logins share of their own
    is left to it.
    """
    tried: set[str] = set()
    while names := [
        row["name"]
        for row in clearing.held()
        if row["kind"] in {"relation", "sequence"} and not row["is_shared"] and row["name"] not in tried
    ][:CHUNK_SIZE]:
        _revoke_some(clearing, names)
        tried.update(names)


def _revoke_some(clearing: Clearing, names: Sequence[str]) -> None:
    """Revoke what is held of these, together. What is not ours to take back is left: DROP ROLE says so in the end."""
    session, role = clearing.session, clearing.role

    def revoke() -> None:
        chunk = [row for row in clearing.held() if row["kind"] in {"relation", "sequence"} and row["name"] in names]
        tables = [row["name"] for row in chunk if row["kind"] == "relation"]
        sequences = [row["name"] for row in chunk if row["kind"] == "sequence"]
        taken = [revoke_tables(tables, role.name)] if tables else []
        taken += [revoke_on("SEQUENCE", sequences, role.name)] if sequences else []
        if taken:
            locks = hold([(row["name"], row["relkind"]) for row in chunk])
            session.send([*clearing.beginning, *locks, *taken, COMMIT])

    try:
        clearing.cleared.cut += insist(session, clearing.target, revoke, f"What {role.name} was given")
    except psycopg.Error as error:
        if error.sqlstate != REFUSED:
            raise
        session.roll_back()
        for name in names if len(names) > 1 else ():
            _revoke_some(clearing, [name])


def _drop_owned(clearing: Clearing, first: Sequence[Statement]) -> None:
    """Take the rest while the schemas that it is about cannot go away, as every owner that we may act as."""
    session, role = clearing.session, clearing.role
    held = clearing.held()
    schemas = [row["name"] for row in held if row["kind"] == "schema"]
    givers = [row["owner"] for row in held if row["kind"] == "policy"] + _givers_of(clearing)
    ours = [
        giver["name"] for giver in _read_givers(clearing, givers) if _is_ours(clearing, giver) and not giver["is_held"]
    ]
    stepped = [] if clearing.is_superuser else [role.name, *ours]
    before = [
        *([lock_schemas(schemas)] if schemas else []),
        *(step_into(name, session.server_version) for name in stepped),
        *first,
        *_revoke_what_we_gave(clearing),
    ]
    after = [step_out(name) for name in stepped]
    try:
        clearing.insist([*before, drop_owned(role.name), *after])
    except psycopg.Error as error:
        if error.sqlstate != REFUSED:
            raise
        session.roll_back()
        # DROP OWNED fails as a whole over what a stranger gave of a table or sequence, unless the role reads or writes
        # it. Where it was not that, the rest is refused as well.
        clearing.insist([*before, *_take_back_what_is_ours(clearing, givers, ours), *after])


def _take_back_what_is_ours(clearing: Clearing, givers: Sequence[int], ours: Sequence[str]) -> list[Statement]:
    """Return what takes back, object by object, what owners gave that we may act for: `ours` we have stepped into."""
    session, role = clearing.session, clearing.role
    owners = {giver["oid"] for giver in _read_givers(clearing, givers) if giver["is_held"] or giver["name"] in ours}
    rows = session.send([read_entries([role.oid], session.server_version)])[0]
    given = [row for row in rows if row["grantee_oid"] == role.oid and row["owner"] == row["grantor_oid"]]
    gifts = gifts_in(row for row in given if row["owner"] in owners)
    return [take_back(gift.privileges, gift.kind, gift.name, gift.grantee) for gift in gifts]


def _revoke_what_we_gave(clearing: Clearing) -> list[Statement]:
    """Return what takes back, privilege by privilege, what we gave by a grant option before we belonged to the owner.

    As a member of the owner our DROP OWNED speaks for the owner, and leaves that.
    """
    session, role = clearing.session, clearing.role
    me = session.ask(READ_ME)[0]["oid"]
    rows = session.send([read_entries([role.oid], session.server_version)])[0]
    given: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["grantee_oid"] == role.oid and row["grantor_oid"] == me and row["owner"] != me:
            given.setdefault((row["kind"], row["name"]), []).append(row["privilege"])
    return [revoke_exactly(privileges, kind, name, role.name) for (kind, name), privileges in given.items()]


def _drop_as_grantors(clearing: Clearing) -> None:
    """Take away, as each grantor that is not the object's owner, what DROP OWNED leaves."""
    session, role = clearing.session, clearing.role
    if not (givers := _givers_of(clearing)):
        return
    me = str(session.ask(READ_ME)[0]["name"])
    for giver in _read_givers(clearing, givers):
        steps = not clearing.is_superuser and _is_ours(clearing, giver)
        if not (steps or giver["may_be"] or clearing.is_superuser):
            continue
        name = giver["name"]
        statements = [
            *([step_into(name, session.server_version, with_set=True)] if steps else []),
            *([lend(role.name, name, session.server_version)] if name != me else []),
            act_as(name),
            guard_owns_nothing(role.oid),
            drop_owned(role.name),
            act_as(me),
            *([revoke_memberships(role.name, [name], None)] if name != me else []),
            *([step_out(name)] if steps else []),
        ]
        try:
            clearing.insist(statements)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            session.roll_back()


def _givers_of(clearing: Clearing) -> list[int]:
    """Return the owners of what the role was given, and who gave it."""
    role = clearing.role
    rows = clearing.session.send([read_entries([role.oid], clearing.session.server_version)])[0]
    mine = [row for row in rows if row["grantee_oid"] == role.oid]
    return list(dict.fromkeys(oid for row in mine for oid in (row["owner"], row["grantor_oid"]) if oid != role.oid))


def _read_givers(clearing: Clearing, oids: Sequence[int]) -> list[Row]:
    return clearing.session.send([read_givers(oids, clearing.session.server_version)])[0] if oids else []


def _is_ours(clearing: Clearing, giver: Row) -> bool:
    """Say whether we may make ourselves a member for a moment: only of roles that this installation made."""
    installation = clearing.session.installation
    return bool(giver["may_join"] and installation and installation.read_tag(giver["tag"], giver["name"]))
