"""The engine against “grant on all tables to each role”, the way others do it, at 1,000 tables with 100 live logins.

Their way: CREATE ROLE, USAGE on the schema, SELECT ON ALL TABLES IN SCHEMA; REASSIGN OWNED, DROP OWNED, DROP ROLE.
Each way has a database of its own on one server, with its own live logins, and the rounds alternate. What is compared:

- `apply_speedup_…`: the login's one transaction, as the engine really sends it, against theirs.
- `drop_speedup_…`: DROP ROLE, as the engine really sends it, against theirs: what takes the login and its privileges
  away. Their way gets a superuser, memory for its catalogs, one message and one commit each time, so that it waits for
  the disk once. Neither side's time holds the password's verifier, a sign-in, or looks for sessions and leftovers.
- `drop_speedup_…_with_fence`: the engine's REVOKE and its shut door as well, which keep a reconnecting client out and
  have no counterpart in their way.
- `…_end_to_end`: the whole of apply_grant and of end_grant, with the sign-in check, the verification and three looks
  for sessions 30 ms apart, against the whole of their way (verifier, SQL), which does nothing of this.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import sql

from accessmgmt.domain.names import new_login_role_name
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.connect.scram import make_verifier
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session.conversation import Session
from accessmgmt.provisioning.statements.base import Statement
from tests.bench.engine import durable_server, new_order
from tests.bench.scale import make_sized_target
from tests.orders import to_end
from tests.targets import OWNER

TABLES, LIVE = 1_000, 100
ROUNDS, WARM_UP = 30, 3
APPLYING = {"create the login role"}
FENCING, DROPPING = {"revoke a membership", "fence the login role"}, {"drop the login role"}
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB"}  # their catalogs grow: memory is not what is compared
Times = dict[str, list[float]]
Messages = list[tuple[set[str], float]]


def measure() -> dict[str, float]:
    """Return how many times faster the engine is; medians."""
    times: Times = defaultdict(list)
    with durable_server("per-role", settings=SETTINGS) as server:
        ours, theirs = make_sized_target(server, TABLES), make_sized_target(server, TABLES)
        with server.connect(theirs.database_name) as conn, timed_messages() as messages:
            for _ in range(LIVE):
                apply_grant(ours, new_order())
                create_with_grants(conn, defaultdict(list))
            for number in range(WARM_UP + ROUNDS):
                found = times if number >= WARM_UP else defaultdict(list)
                by_engine(ours, messages, found)
                drop_with_grants(conn, create_with_grants(conn, found), found)
            check_alike(server.connect(ours.database_name), conn)
        close_pools()
    figures = {name: statistics.median(values) for name, values in times.items()}
    speedups = {}
    for step in ("apply", "drop"):
        name = f"{step}_speedup_vs_per_role_1000_tables"
        speedups[name] = figures[f"{step}_their_sql"] / figures[f"{step}_our_sql"]
        speedups[f"{name}_end_to_end"] = figures[f"{step}_their_whole"] / figures[f"{step}_our_whole"]
    fenced = figures["drop_their_sql"] / figures["drop_our_sql_with_fence"]
    speedups["drop_speedup_vs_per_role_1000_tables_with_fence"] = fenced
    return speedups | {f"per_role_{name}_ms_p50": value for name, value in figures.items()}


@contextmanager
def timed_messages() -> Iterator[Messages]:
    """Keep the engine's messages: what their statements are for, and their milliseconds."""
    messages: Messages = []
    send = Session.send

    def timed(session: Session, statements: Sequence[Statement]) -> Any:
        began = time.perf_counter()
        try:
            return send(session, statements)
        finally:
            elapsed = (time.perf_counter() - began) * 1000
            messages.append(({statement.description for statement in statements}, elapsed))

    with patch.object(Session, "send", timed):
        yield messages


def by_engine(target: Target, messages: Messages, times: Times) -> None:
    """Apply and end one grant."""
    order = new_order()
    messages.clear()
    with timed(times["apply_our_whole"]):
        receipt = apply_grant(target, order)
    times["apply_our_sql"].append(total(messages, APPLYING))
    messages.clear()
    with timed(times["drop_our_whole"]):
        end_grant(target, to_end(order, role_oid=receipt.role_oid))
    times["drop_our_sql"].append(total(messages, DROPPING))
    times["drop_our_sql_with_fence"].append(total(messages, FENCING | DROPPING))


def total(messages: Messages, descriptions: set[str]) -> float:
    """Return the milliseconds of the messages with these statements, each of which has to have been sent."""
    if missing := descriptions.difference(*(sent for sent, _ in messages)):
        raise RuntimeError(f"the engine did not send: {missing}")
    return sum(elapsed for sent, elapsed in messages if sent & descriptions)


def create_with_grants(conn: psycopg.Connection, times: Times) -> str:
    """Make a login with privileges of its own on every table."""
    name, password = new_login_role_name("theirs@company.com"), secrets.token_urlsafe(24)
    with timed(times["apply_their_whole"]):
        text = sql.SQL(
            "BEGIN; CREATE ROLE {role} LOGIN PASSWORD {verifier} VALID UNTIL '2099-01-01';"
            " GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; COMMIT"
        ).format(role=sql.Identifier(name), verifier=sql.Literal(make_verifier(password)))
        with timed(times["apply_their_sql"]):
            conn.execute(text)
    return name


def drop_with_grants(conn: psycopg.Connection, name: str, times: Times) -> None:
    """Take it all away again."""
    text = "BEGIN; REASSIGN OWNED BY {role} TO {owner}; DROP OWNED BY {role}; DROP ROLE {role}; COMMIT"
    with timed(times["drop_their_whole"]), timed(times["drop_their_sql"]):
        conn.execute(sql.SQL(text).format(role=sql.Identifier(name), owner=sql.Identifier(OWNER)))


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Append the milliseconds of the block."""
    began = time.perf_counter()
    yield
    into.append((time.perf_counter() - began) * 1000)


def check_alike(ours: psycopg.Connection, theirs: psycopg.Connection) -> None:
    """Make sure that in both databases the same number of logins may read every table."""
    query = """
        SELECT count(*) FROM pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper AND (
            SELECT count(*) FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
                AND has_table_privilege(r.oid, c.oid, 'SELECT')
        ) = %s
    """
    with ours:
        found = [conn.execute(query, [TABLES]).fetchone() for conn in (ours, theirs)]
    if found != [(LIVE,), (LIVE,)]:
        raise RuntimeError(f"logins that may read every table: {found}")
