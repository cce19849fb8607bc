"""Finds the login roles of grants, by name, OID and tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import EndOrder, LoginRef
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.ending import ROLES


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """What there is of one grant on a server: its login (by rights one role), or nothing.

    `oids` are those under which it may have sessions. `refusal` says that another role stands in its place, so that
    the ending cannot be proved; all the same its login is ended. `stranger` is that role where it is a member of the
    grant's capability role. `notes` are for the receipt.
    """

    roles: tuple[FoundRole, ...]
    oids: tuple[int, ...]
    notes: tuple[str, ...] = ()
    refusal: TargetRefused | None = None
    stranger: FoundRole | None = None


def find_roles(session: Session, orders: Sequence[EndOrder]) -> list[FoundLogin]:
    """Return what there is of each grant, looked for by name and by OID. Raises TargetRefused on a standby.

    A role that bears the grant's tag is its login. So is one with the name and the OID that were stored when it was
    made on this very cluster, and one with that OID that is a member of the grant's capability role, whatever somebody
    has made of its comment. Nothing else is.
    """
    values = {
        "names": [o.login.role_name for o in orders],
        "oids": [o.login.role_oid for o in orders if o.login.role_oid],
    }
    rows = session.ask_one(ROLES, values)
    if rows[0]["in_recovery"]:
        raise TargetRefused(
            f"“{session.target_name}” is a standby: no role can be dropped there.",
            why="It only replays what its primary does.",
            todo="Link its primary in the resource.",
            sqlstate="25006",
        )
    by_name = {row["name"]: row for row in rows if row["oid"] is not None}
    by_oid = {row["oid"]: row for row in by_name.values()}
    return [_judge(session, o, by_oid.get(o.login.role_oid), by_name.get(o.login.role_name)) for o in orders]


def _judge(session: Session, order: EndOrder, known: Row | None, named: Row | None) -> FoundLogin:
    """Tell the login from other roles: `known` has the stored OID, `named` the login's name. They may be one."""
    login = order.login
    is_its_cluster = not session.cluster or login.system_identifier in {"", session.cluster}
    is_oid_its_own = is_its_cluster
    if known is not None and _is_another_grants(login, known):
        known, is_oid_its_own = None, False  # a server that took over has given the OID again
    there = [row for row in (named, known) if row is not None]
    if not is_its_cluster and not any(row["tag"] == login.tag for row in there):
        refusal = _not_ours(session, login, named) if named else _another_cluster(session)
        return FoundLogin((), (), refusal=refusal)
    ours = _its_own(order, known, named, is_its_cluster=is_its_cluster)
    foreign = next((row for row in there if row not in ours), None)
    oids = [row["oid"] for row in ours]
    if login.role_oid and is_oid_its_own:
        oids.insert(0, login.role_oid)
    found = FoundLogin(
        roles=tuple(_login_role(row) for row in ours),
        oids=tuple(dict.fromkeys(oids)),
        notes=tuple(note for row in ours for note in _changes(login, row)),
    )
    if foreign is None:
        return found
    stranger = _as_member(order, foreign) if _has_the_set(order, foreign) else None
    return replace(found, refusal=_not_ours(session, login, foreign), stranger=stranger)


def _its_own(order: EndOrder, known: Row | None, named: Row | None, *, is_its_cluster: bool) -> list[Row]:
    """Return the role that is the login, if there is one."""
    tag = order.login.tag
    if known is not None and (known["tag"] == tag or (is_its_cluster and _is_the_login(order, known))):
        return [known]
    if named is not None and named["tag"] == tag:
        return [named]  # made again with its comment, as a restored backup does
    return []


def _is_the_login(order: EndOrder, row: Row) -> bool:
    """Say whether a role with the stored OID is the login, though it bears no tag of it.

    Once it is fenced it is a member of nothing, and nobody else shuts roles like that.
    """
    return row["name"] == order.login.role_name or _has_the_set(order, row) or bool(row["is_fenced"])


def _has_the_set(order: EndOrder, row: Row) -> bool:
    return any(text.split("\n", 1)[0] == order.capability for text in row["memberships"])


def _is_another_grants(login: LoginRef, row: Row) -> bool:
    """Say whether the portal made this role for something else."""
    return row["tag"] != login.tag and login.installation.read_tag(row["tag"], row["name"]) is not None


def _changes(login: LoginRef, row: Row) -> list[str]:
    notes = []
    if row["name"] != login.role_name:
        notes.append(f"Somebody had renamed the login: it was ended as {row['name']}.")
    if row["tag"] != login.tag:
        notes.append("Somebody had changed the comment on the login: it was known by its OID.")
    return notes


def _another_cluster(session: Session) -> TargetRefused:
    """A role that is missing on another server than the one it was made on proves nothing."""
    return TargetRefused(
        f"“{session.target_name}” is another PostgreSQL server than the one this login was made on.",
        why="Its system identifier differs, so that the login may still live elsewhere.",
        todo="Let the resource's name or address lead to the old server until its logins are gone.",
    )


def _not_ours(session: Session, login: LoginRef, row: Row) -> TargetRefused:
    if row["name"] == login.role_name:
        is_copy = row["tag"] == login.tag
        why = f"It has the login's name, and {'another OID' if is_copy else 'not the comment that this portal wrote'}."
        mend = advice.make_room(row["name"])
    else:
        why = (
            "It has the login's OID, but neither its name nor the comment that this portal wrote, and it is no member"
            " of the capability role. Its sessions are ended."
        )
        mend = advice.rename_back(row["name"], login.role_name)
    return TargetRefused(
        f"The role {row['name']} on “{session.target_name}” is not this grant's.",
        why=why,
        todo=str(mend),
        sqlstate="42710",
    )


def _as_member(order: EndOrder, row: Row) -> FoundRole:
    """Return a role that is not ours with the one membership that is."""
    role = _login_role(row)
    return replace(role, memberships=tuple(m for m in role.memberships if m[0] == order.capability))


def _login_role(row: Row) -> FoundRole:
    return FoundRole(
        name=row["name"],
        oid=row["oid"],
        memberships=_pairs(row["memberships"]),
        acting_as=row["acting_as"],
        members=_pairs(row["members"]),
        passed_on=_pairs(row["passed_on"]),
    )


def _pairs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, _, second in (text.partition("\n") for text in texts))
