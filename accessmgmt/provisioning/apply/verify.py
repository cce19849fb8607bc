"""Logs in as the login role, through the endpoint its user gets, and asks what it may do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.permissions import Privilege
from accessmgmt.domain.targets import SequenceAccess, TableAccess, Target
from accessmgmt.provisioning.connect.admin import connect_login
from accessmgmt.provisioning.connect.scram import ScramKeys
from accessmgmt.provisioning.privileges.read import Scope, ScopeFound
from accessmgmt.provisioning.session.conversation import Row, Session, announce
from accessmgmt.provisioning.statements import advice_login
from accessmgmt.provisioning.statements.reading import READ_EXTRAS, READ_LOGIN_TRIGGERS, READ_UNUSABLE, read_effective

SAID_BY_THE_SERVER = frozenset({"", "28P01", "28000", "3D000", "55000"})
KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


@dataclass(frozen=True, slots=True)
class Effective:
    """What the login role may do. `lacking` maps OIDs to names of relations that it cannot use as wanted."""

    tables: tuple[TableAccess, ...]
    table_count: int
    lacking: dict[int, str]
    sequences: tuple[SequenceAccess, ...]
    sequence_count: int
    public_extras: int
    verified_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a login role may what its set says on what was found, and nothing besides.

    `given_besides` are relations of which their owners, who are strangers, gave more.
    """

    role_name: str
    login_oid: int
    scope: Scope
    found: ScopeFound
    given_besides: Collection[int]


@contextmanager
def login_session(
    session: Session, target: Target, role_name: str, password: str, keys: ScramKeys | None = None
) -> Iterator[Session]:
    """Log in as the login role, which `session` has made; nothing else shows that it can.

    `keys` are those that its verifier was made from; without them libpq derives them from the password, as a person's
    does.
    """
    announce("log in as the login role")
    try:
        conn = connect_login(
            target,
            role=role_name,
            password=password,
            keys=keys,
            server_version=session.server_version,
            timeout_seconds=session.budget.check(),
        )
    except TargetRefused as error:
        raise _with_triggers(session, error) from None
    try:
        as_login = Session(conn, target_name=target.name, budget=session.budget)
        with as_login.open():
            yield as_login
    finally:
        with suppress(psycopg.Error):
            conn.close()


def _with_triggers(session: Session, refusal: TargetRefused) -> TargetRefused:
    """Name the event triggers that may have refused a sign-in, where the server's code says nothing else."""
    if refusal.sqlstate in SAID_BY_THE_SERVER:
        return refusal
    names = [row["name"] for row in session.ask(READ_LOGIN_TRIGGERS)]
    if not names:
        return refusal
    todo = str(advice_login.disable_triggers(names, session.conn.info.dbname))
    why = f"{refusal.why} There are event triggers on login: {', '.join(names)}."
    return TargetRefused(refusal.what, why=why, todo=todo, sqlstate=refusal.sqlstate)


def read_what_it_may(as_login: Session, session: Session, question: Question) -> Effective:
    """Ask the server, as the login role. Raises TargetRefused when it may more than it should.

    The relations asked about are those that were found when the capability role was brought in order: what the
    application creates meanwhile is drift, and no failure.
    """
    scope, found = question.scope, question.found
    known = [p.value for p in Privilege if p is not Privilege.MAINTAIN or session.server_version >= 17]
    unwanted = [privilege for privilege in known if privilege not in scope.wanted]
    row = _ask(as_login, question, unwanted)
    lacking = _lacking(session, found, row)
    extras = _extras(session, question, row["more"], unwanted) if row["more"] else {}
    return Effective(
        tables=tuple(
            TableAccess(schema, table, KINDS.get(kind, "relation"), (*scope.wanted, *extras.get(oid, ())))
            for oid, schema, table, kind in found.listed
            if oid not in lacking
        ),
        table_count=found.relation_count - len(lacking),
        sequences=tuple(
            SequenceAccess(schema, sequence, scope.sequence_wanted)
            for oid, schema, sequence in found.sequences
            if oid in row["usable_sequences"]
        ),
        sequence_count=found.sequence_count - len(found.sequences) + len(row["usable_sequences"]),
        lacking=lacking,
        public_extras=sum(len(names) for names in extras.values()),
        verified_at=row["verified_at"].astimezone(UTC),
    )


def _ask(as_login: Session, question: Question, unwanted: Sequence[str]) -> Row:
    """Ask about one relation of each kind; where one of them differs, about all."""
    scope, found = question.scope, question.found
    asked = read_effective(scope.wanted, unwanted, scope.sequence_wanted)
    values = {"schema_oids": found.schema_oids, "sequence_oids": [oid for oid, *_ in found.sequences]}
    row = as_login.ask(asked, {"relation_oids": found.sample_oids, **values})[0]
    if row["lacking"] or row["more"]:
        row = as_login.ask(asked, {"relation_oids": found.relation_oids, **values})[0]
    return row


def _lacking(session: Session, found: ScopeFound, row: Row) -> dict[int, str]:
    if not row["lacking"] and not row["closed_schemas"]:
        return {}
    values = {"scope": found.relation_oids, "lacking": row["lacking"], "closed_schemas": row["closed_schemas"]}
    return {each["oid"]: each["name"] for each in session.ask(READ_UNUSABLE, values)}


def _extras(
    session: Session, question: Question, oids: Sequence[int], unwanted: Sequence[str]
) -> dict[int, tuple[str, ...]]:
    """Return what everybody may besides, by relation. Raises TargetRefused when there is any other reason for it."""
    rows = session.ask(READ_EXTRAS, {"oids": oids, "unwanted": unwanted, "login_oid": question.login_oid})
    others = [row for row in rows if row["oid"] not in question.given_besides]
    _check_no_more(session, question.role_name, others)
    return {row["oid"]: tuple(row["by_everybody"]) for row in rows}


def _check_no_more(session: Session, role_name: str, rows: list[Row]) -> None:
    unexplained = [row for row in rows if row["by_nobody_else"]]
    if not unexplained:
        return
    first = unexplained[0]
    others = f" and on {len(unexplained) - 1} more relations" if len(unexplained) > 1 else ""
    raise TargetRefused(
        f"{role_name} on “{session.target_name}” could do more than was approved.",
        why=f"{', '.join(first['by_nobody_else'])} on {first['name']}{others}, and not because everybody may.",
        todo="A DBA looks at what else was granted to the capability role.",
    )
