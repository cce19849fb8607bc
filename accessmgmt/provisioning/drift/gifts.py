"""Compares what others gave to the portal's roles beside the owners and the portal itself: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, Severity
from accessmgmt.provisioning.drift.difference import Difference, Me
from accessmgmt.provisioning.session.conversation import Row
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import Statement
from accessmgmt.provisioning.statements.drift import as_text
from accessmgmt.provisioning.statements.locks import lock_relations, lock_schemas
from accessmgmt.provisioning.statements.privileges import FUTURE_WORDS, revoke_future, revoke_on

RELATIONS = frozenset({"TABLE", "SEQUENCE"})


def gifts_to(entries: Sequence[Row], oids: Collection[int]) -> list[Row]:
    """Return what these roles hold of others, an object and grantor at a time, with `privileges` together."""
    key = itemgetter("grantee_oid", "kind", "name", "grantor_oid")
    mine = [row for row in entries if row["grantee_oid"] in oids and row["owner"] != row["grantee_oid"]]
    return [
        {**rows[0], "privileges": list(dict.fromkeys(row["privilege"] for row in rows))}
        for rows in (list(group) for _, group in groupby(sorted(mine, key=key), key))
    ]


def compare_direct(
    gifts: Sequence[Row], named: Sequence[Row], givers: Mapping[int, Row], order: DriftOrder, me: Me
) -> list[Difference]:
    """What the active logins were given directly, of whatever kind: the portal never does that.

    `gifts` come from gifts_to, `named` from drift_named.sql, `givers` from givers.sql. Logins of other databases, and
    of endings, are not judged here.
    """
    logins = {login.role_oid: login for login in order.logins}
    differences = []
    for gift in gifts:
        login, giver = logins[gift["grantee_oid"]], givers.get(gift["grantor_oid"])
        take = [revoke_on(gift["kind"], [gift["name"]], login.role_name)]
        steps, text = _by_the_giver(gift, giver, take, login.role_name, order, me)
        what = f"{giver['name'] if giver else 'Somebody'} granted {', '.join(gift['privileges'])} on it directly to"
        finding = DriftFinding(
            DriftKind.DIRECT,
            Severity.ALARM,
            gift["name"] if gift["kind"] in {*RELATIONS, "SCHEMA"} else f"{gift['kind'].lower()} {gift['name']}",
            f"{what} {login.role_name}.",
            sql=text,
            role=login.role_name,
            grant_id=login.grant_id,
            is_automatic=bool(steps),
            is_for_dba=not steps,
        )
        differences.append(Difference(finding, (*_locks(gift), *steps) if steps else ()))
    return differences + [
        _future(row, logins[row["oid"]].role_name, logins[row["oid"]].grant_id)
        for row in named
        if row["oid"] in logins and row["kind"].startswith("future ")
    ]


def _future(row: Row, role: str, grant_id: str) -> Difference:
    objtype = row["kind"].removeprefix("future ")
    take = revoke_future(row["detail"], row["name"], objtype, role)
    place = f"in schema {row['name']}" if row["name"] else "in any schema"
    finding = DriftFinding(
        DriftKind.DIRECT,
        Severity.ALARM,
        f"new {FUTURE_WORDS[objtype].lower()} of {row['detail']} {place}",
        f"{role} would get privileges on them directly.",
        sql=as_text([take]),
        role=role,
        grant_id=grant_id,
        is_automatic=row["is_held"],
        is_for_dba=not row["is_held"],
    )
    return Difference(finding, (take,) if row["is_held"] else ())


def _by_the_giver(
    gift: Row, giver: Row | None, take: Sequence[Statement], role: str, order: DriftOrder, me: Me
) -> tuple[tuple[Statement, ...], str]:
    """Return what takes a gift back: as what we are, as a role of the portal, or only the SQL for who may."""
    if giver is not None and gift["grantor_oid"] == gift["owner"] and giver["is_held"]:
        return tuple(take), as_text(take)
    if giver is not None and giver["name"] == me.name:
        return tuple(take), as_text(take)
    grantor = giver["name"] if giver is not None else str(gift["grantor"])
    text = advice.revoke_as_grantor(grantor, f"{gift['kind']} {gift['name']}", role).as_sql()
    is_ours = giver is not None and order.installation.read_tag(giver["tag"], giver["name"]) is not None
    # Only a superuser can name what is in another session's temporary schema: it goes with that session.
    may_join = is_ours and giver is not None and giver["may_join"] and not gift["is_temporary"]
    if me.is_superuser or may_join:
        return me.stepping_into(grantor, take), text
    return (), text


def _locks(gift: Row) -> list[Statement]:
    if gift["is_temporary"]:
        return []
    if gift["kind"] in RELATIONS:
        return lock_relations([gift["name"]])
    return [lock_schemas([gift["name"]])] if gift["kind"] == "SCHEMA" else []


def compare_grantors(
    gifts: Sequence[Row], capabilities: Mapping[int, str], givers: Mapping[int, Row], order: DriftOrder, me: Me
) -> list[Difference]:
    """Grants of others than the owner to capability roles: only their grantor can take them back.

    The portal's own are right where it holds grant options instead of the owner.
    """
    differences = []
    for gift in gifts:
        giver = givers.get(gift["grantor_oid"])
        if gift["grantor_oid"] == gift["owner"] or (giver is not None and _is_rightly_ours(giver, gift, givers, me)):
            continue
        role, grantor = capabilities[gift["grantee_oid"]], giver["name"] if giver else gift["grantor"]
        steps, text = _by_the_giver(gift, giver, [revoke_on(gift["kind"], [gift["name"]], role)], role, order, me)
        finding = DriftFinding(
            DriftKind.GRANTOR,
            Severity.WARNING,
            gift["name"] if gift["kind"] in RELATIONS else f"{gift['kind'].lower()} {gift['name']}",
            f"{grantor} granted {', '.join(gift['privileges'])} on it to {role}: a REVOKE by its owner leaves that in"
            " place.",
            sql=text,
            role=role,
            is_automatic=bool(steps),
            is_for_dba=not steps,
        )
        differences.append(Difference(finding, steps))
    return differences


def _is_rightly_ours(giver: Row, gift: Row, givers: Mapping[int, Row], me: Me) -> bool:
    owner = givers.get(gift["owner"])
    return giver["name"] == me.name and not (owner is not None and owner["is_held"])
