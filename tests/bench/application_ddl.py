"""The application's own DDL beside the engine: no statement of it may fail because of a grant.

Two threads change relations of every kind as their owner in a loop while four apply and end grants. Every third grant
is the first of its permission set, so that privileges are granted all the time; such sets are retired again, so that
they are revoked too. The application never gets into its own way: each of its threads has relations of its own.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import LiteralString

import psycopg
from psycopg import sql

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from devstack.postgres import PostgresServer
from tests.bench.engine import INSTALLATION, durable_server, new_order
from tests.orders import as_made, to_end
from tests.targets import OWNER, make_target

VERSIONS = (15, 18)  # GRANT takes no lock on the table up to 17
SECONDS = 15.0
GRANTERS, APPLICATIONS = 4, 2
TABLES = 25  # of each application thread
NEW_SET_EVERY, RETIRE_EVERY = 3, 8
SHOWN = 10
FEWEST_GRANTS, FEWEST_STATEMENTS = 50, 500  # less than that shows nothing
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
ROUND: tuple[LiteralString, ...] = (
    "CREATE SEQUENCE {numbers}",
    "CREATE TABLE {made} (id serial PRIMARY KEY, number int GENERATED ALWAYS AS IDENTITY,"
    " drawn bigint DEFAULT nextval({numbers_text}), note text)",
    "ALTER TABLE {altered} ADD COLUMN extra int",
    "CREATE VIEW {view} AS SELECT id, note FROM {made}",
    "CREATE MATERIALIZED VIEW {stored} AS SELECT id FROM {made}",
    "TRUNCATE {altered} RESTART IDENTITY",
    "CREATE TRIGGER same BEFORE UPDATE ON {made} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE OR REPLACE VIEW {view} AS SELECT id, note, number FROM {made}",
    "REFRESH MATERIALIZED VIEW {stored}",
    "ALTER SEQUENCE {numbers} RESTART",
    "ALTER TABLE {altered} DROP COLUMN extra",
    "ALTER TABLE {made} ADD COLUMN extra int",
    "TRUNCATE {made}",
    "DROP MATERIALIZED VIEW {stored}",
    "DROP VIEW {view}",
    "DROP TABLE {made}",
    "DROP SEQUENCE {numbers}",
)
STANDING = (
    parse_permissions({"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]}),
    parse_permissions({"grants": list(PRIVILEGES), "schemas": ["*"], "tables": ["*"]}),
    parse_permissions({"grants": ["ALL"], "schemas": ["public"], "tables": ["app_0_*"]}),
)


@dataclass
class Beside:
    """What both sides count while they run."""

    target: Target
    server: PostgresServer
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    def count(self, what: str, failure: str = "", *, number: int = 1) -> None:
        with self.lock:
            self.counts[what] += number
            if failure:
                self.failures.append(failure)


def measure() -> dict[str, float]:
    """Return the application's statements, and how many of them failed, on all versions together."""
    counts: Counter[str] = Counter()
    for version in VERSIONS:
        with durable_server("application", version) as server:
            beside = Beside(make_application(server), server)
            run(beside)
            close_pools()
        for failure in beside.failures[:SHOWN]:
            print(f"  PostgreSQL {version}: {failure}")
        if beside.counts["grants"] < FEWEST_GRANTS or beside.counts["statements"] < FEWEST_STATEMENTS:
            raise RuntimeError(f"too little happened on PostgreSQL {version}: {dict(beside.counts)}")
        counts += beside.counts
    names = ("failures", "statements", "grants", "first_uses", "retired_sets")
    names += ("grants_to_repeat", "grants_refused", "endings_to_repeat")
    return {f"app_ddl_{name}": float(counts[name]) for name in names}


def make_application(server: PostgresServer) -> Target:
    """Make a database with the application's tables."""
    fields = make_target(server)
    with server.connect(fields["database_name"]) as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
        for thread, number in itertools.product(range(APPLICATIONS), range(TABLES)):
            create_table(conn, f"app_{thread}_{number}")
    return Target(resource_id=1, name="application", **{**fields, "ssl_mode": SslMode(fields["ssl_mode"])})


def run(beside: Beside) -> None:
    """Run all threads until the time is over; the first error of the bench itself ends it."""
    works: list[Callable[[], None]] = [lambda number=n: change_tables(beside, number) for n in range(APPLICATIONS)]
    works += [lambda number=n: grant(beside, number) for n in range(GRANTERS)]
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def create_table(conn: psycopg.Connection, name: str) -> None:
    """Create a table with a sequence that INSERT needs."""
    conn.execute(sql.SQL("CREATE TABLE {} (id serial PRIMARY KEY, note text)").format(sql.Identifier(name)))


def change_tables(beside: Beside, thread: int) -> None:
    """Change relations of every kind as the owner, one statement a transaction; count those that fail."""
    rng = random.Random(thread)
    with beside.server.connect(beside.target.database_name) as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
        for number in itertools.count():
            for text in statements(rng.randrange(TABLES), thread, number):
                if not beside.goes_on:
                    return
                beside.count("statements")
                try:
                    conn.execute(text)
                except psycopg.Error as error:
                    beside.count("failures", f"{text.as_string(conn)}: {error.sqlstate} {error}")


def statements(table: int, thread: int, number: int) -> Iterator[sql.Composed]:
    """Return one round of DDL. What is dropped is never what is altered; all that is made matches the new sets."""
    names = {
        "altered": f"app_{thread}_{table}",
        "made": f"app_{thread}_made_{number}",
        "view": f"app_{thread}_made_{number}_view",
        "stored": f"app_{thread}_made_{number}_stored",
        "numbers": f"app_{thread}_made_{number}_numbers",
    }
    for text in ROUND:
        yield sql.SQL(text).format(
            numbers_text=sql.Literal(names["numbers"]), **{key: sql.Identifier(name) for key, name in names.items()}
        )


def grant(beside: Beside, thread: int) -> None:
    """Apply and end grants. One that gave up because the application kept coming between is ended all the same."""
    rng = random.Random(f"granter {thread}")
    for number in itertools.count():
        if not beside.goes_on:
            return
        is_new = number % NEW_SET_EVERY == 0
        order = new_order(new_set(rng) if is_new else rng.choice(STANDING))
        try:
            receipt = apply_grant(beside.target, order)
        except TargetUnavailable:
            beside.count("grants_to_repeat")
        except TargetRefused as error:
            beside.count("grants_refused", f"grant: {error}")
        else:
            order = as_made(order, role_oid=receipt.role_oid)
            beside.count("grants")
            beside.count("first_uses", number=is_new)
        try:
            end_grant(beside.target, to_end(replace(order, password="")))
        except TargetError as error:
            beside.count("endings_to_repeat", f"end: {error}")
        if thread == 0 and number % RETIRE_EVERY == RETIRE_EVERY - 1:
            keep = {standing.digest for standing in STANDING}
            retired = retire_capabilities(beside.target, INSTALLATION, keep)
            beside.count("retired_sets", number=len(retired.dropped))


def new_set(rng: random.Random) -> PermissionSet:
    """Return a set that was hardly used before: a few privileges on tables that are altered, made and dropped."""
    tables = {f"app_{rng.randrange(APPLICATIONS)}_{rng.randrange(TABLES)}" for _ in range(12)}
    tables |= {f"app_{thread}_made_*" for thread in range(APPLICATIONS)}
    grants = rng.sample(PRIVILEGES, rng.randint(1, len(PRIVILEGES)))
    return parse_permissions({"grants": grants, "schemas": ["public"], "tables": sorted(tables)})
