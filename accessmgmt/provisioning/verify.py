"""Logs in as the login role, through the endpoint its user gets, and asks what it may do (postgres.md 12, A5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.permissions import Privilege
from accessmgmt.domain.targets import MOST_LISTED_TABLES, GrantOrder, TableAccess, Target
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.connect import connect_login
from accessmgmt.provisioning.execute import Row, Session, announce
from accessmgmt.provisioning.inspect import Scope
from accessmgmt.provisioning.statements import read_effective

KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


@dataclass(frozen=True, slots=True)
class Effective:
    """What the login role may do. `lacking` holds OID and name of relations it cannot use as wanted."""

    tables: tuple[TableAccess, ...]
    table_count: int
    lacking: dict[int, str]
    public_extras: int
    verified_at: datetime


@contextmanager
def login_session(target: Target, order: GrantOrder, budget: Budget) -> Iterator[Session]:
    """Log in as the login role; nothing else shows that it can."""
    announce("log in as the login role")
    conn = connect_login(target, role=order.role_name, password=order.password, timeout_seconds=budget.check())
    try:
        session = Session(conn, target_name=target.name, budget=budget)
        with session.open():
            yield session
    finally:
        with suppress(psycopg.Error):
            conn.close()


def read_what_it_may(session: Session, order: GrantOrder, scope: Scope) -> Effective:
    """Ask the server, as the login role. Raises TargetRefused when it may more than it should."""
    known = [p.value for p in Privilege if p is not Privilege.MAINTAIN or session.server_version >= 17]
    unwanted = [privilege for privilege in known if privilege not in scope.wanted]
    rows = session.ask(
        read_effective(scope.wanted, unwanted), {**scope.values, "unwanted": unwanted, "most": MOST_LISTED_TABLES}
    )
    me = next(row for row in rows if row["kind"] == "me")
    _check_membership(session, order, scope, me)
    more = [row for row in rows if row["kind"] == "more"]
    _check_no_more(session, order, more)
    extras = {(row["schema"], row["name"]): tuple(row["words"] or ()) for row in more}
    return Effective(
        tables=tuple(
            TableAccess(
                row["schema"],
                row["name"],
                KINDS.get(row["relkind"], "relation"),
                (*scope.wanted, *extras.get((row["schema"], row["name"]), ())),
            )
            for row in rows
            if row["kind"] == "listed"
        ),
        table_count=next(row["oid"] for row in rows if row["kind"] == "count"),
        lacking={row["oid"]: f"{row['schema']}.{row['name']}" for row in rows if row["kind"] == "lacking"},
        public_extras=sum(len(names) for names in extras.values()),
        verified_at=datetime.fromisoformat(me["more"][1]).astimezone(UTC),
    )


def _check_membership(session: Session, order: GrantOrder, scope: Scope, me: Row) -> None:
    if me["words"] != [scope.capability] or me["more"][0] != "false":
        raise TargetRefused(
            f"{order.role_name} on “{session.target_name}” is not what the portal made.",
            why=f"It is a member of {', '.join(me['words']) or 'no role'}, or has attributes it was not given.",
            todo="The portal ends it; a DBA looks at who changed it.",
        )


def _check_no_more(session: Session, order: GrantOrder, rows: list[Row]) -> None:
    unexplained = [row for row in rows if row["more"]]
    if not unexplained:
        return
    first = unexplained[0]
    raise TargetRefused(
        f"{order.role_name} on “{session.target_name}” could do more than was approved.",
        why=f"{', '.join(first['more'])} on {first['schema']}.{first['name']}"
        + (f" and on {len(unexplained) - 1} more relations" if len(unexplained) > 1 else "")
        + ", and not because everybody may.",
        todo="A DBA looks at what else was granted to the capability role.",
    )
