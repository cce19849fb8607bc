"""The ground that is fought on: a server with an application, its owner, an outsider and the portal's admin role."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from devstack.postgres import PostgresServer
from devstack.recipe import prepare_database, prepare_target
from tests.hostile.facts import Fact, read_facts

TEMPLATE, SIDE = "ground", "side"
OWNER, OUTSIDER, GROUP, OTHER_OWNER, HELPER = "app_owner", "walter", "reports", "other_owner", "dba_joe"
ADMIN_LOGIN, ADMIN_PASSWORD = "jit_login_a", "admin-pa55word"
TRUSTED = ("postgres", OWNER, OUTSIDER, HELPER)
SETTINGS = {
    "autovacuum": False,
    "max_connections": 120,
    "max_prepared_transactions": 20,
    "max_replication_slots": 20,
    "wal_level": "logical",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}
SCHEMAS = """
CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC;
CREATE SCHEMA bait; GRANT USAGE ON SCHEMA bait TO PUBLIC;
CREATE TABLE bait.marks (as_user text, place text); GRANT INSERT, SELECT ON bait.marks TO PUBLIC;
CREATE SCHEMA ext; GRANT USAGE ON SCHEMA ext TO PUBLIC;
CREATE EXTENSION dblink SCHEMA ext; CREATE EXTENSION postgres_fdw SCHEMA ext;
CREATE TABLE play.things (id int); ALTER TABLE play.things OWNER TO walter; GRANT SELECT ON play.things TO reports;
CREATE TABLE app.stock (id int, amount int); ALTER TABLE app.stock OWNER TO other_owner;
"""
HERE = Path(__file__).parent


class Ground:
    """A running server of one version. Each sequence gets a database of its own, copied from a template."""

    def __init__(self, version: int, directory: Path) -> None:
        hba = [f"host {database} {','.join(TRUSTED)} 127.0.0.0/8 trust" for database in ("all", "replication")]
        hba += [f"host {database} all 127.0.0.0/8 scram-sha-256" for database in ("all", "replication")]
        self.version = version
        self.directory = directory
        self._numbers = itertools.count(1)
        self._hba = hba
        self._base: frozenset[Fact] = frozenset()
        self.server = self._new_server()
        self.rebuilt = 0

    def _new_server(self) -> PostgresServer:
        shutil.rmtree(self.directory, ignore_errors=True)
        server = PostgresServer(self.version, self.directory, settings=SETTINGS, hba=self._hba, durable=False).start()
        with server.connect() as dba:
            dba.execute(f"CREATE ROLE {OWNER} LOGIN; CREATE ROLE {OUTSIDER} LOGIN; CREATE ROLE {GROUP}")
            dba.execute(f"CREATE ROLE {OTHER_OWNER}; CREATE ROLE {HELPER} LOGIN CREATEROLE")
            dba.execute(f"ALTER ROLE {OWNER} SET search_path = app, public")
            for name in (TEMPLATE, SIDE):
                dba.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
            prepare_target(
                dba,
                login=ADMIN_LOGIN,
                password=ADMIN_PASSWORD,
                databases=[TEMPLATE, SIDE],
                owners=[OWNER, OTHER_OWNER],
            )
            roles = f"{OWNER}, {OTHER_OWNER}, {GROUP}, jit_portal, jit_quarantine, pg_signal_backend"
            dba.execute(f"GRANT {roles} TO {HELPER} WITH ADMIN OPTION")
        with server.connect(TEMPLATE, OWNER) as owner:
            owner.execute((HERE / "ground.sql").read_text())
        with server.connect(TEMPLATE) as dba:
            dba.execute(SCHEMAS)
            prepare_database(dba)
        with server.connect(SIDE) as dba:
            prepare_database(dba)
        self.server = server
        self._base = self._state()
        return server

    def new_database(self) -> str:
        """Copy the template and return the copy's name."""
        name = f"shop{next(self._numbers)}"
        with self.server.connect() as dba:
            dba.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER}")
            dba.execute(f"GRANT CONNECT ON DATABASE {name} TO {ADMIN_LOGIN}")
        return name

    def clear(self) -> None:
        """Remove what a sequence left on the server; a server that cannot be cleared is made anew."""
        with suppress(psycopg.Error):
            self._clear()
            if self._state() == self._base:
                return
        self.rebuilt += 1
        self.server.destroy()
        self._new_server()

    def destroy(self) -> None:
        """Stop the server and remove its files."""
        self.server.destroy()

    def _clear(self) -> None:
        with self.server.connect() as dba:
            dba.execute("SET lock_timeout = '5s'")
            dba.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()"
            )
            for gid, database in dba.execute("SELECT gid, database FROM pg_prepared_xacts").fetchall():
                with self.server.connect(database) as there:
                    there.execute(f"ROLLBACK PREPARED '{gid}'")
            dba.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
            dba.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> current_database()")
            base = {fact.thing for fact in self._base if fact.kind == "role"}
            for (name,) in dba.execute(
                "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1', %s, %s)",
                [TEMPLATE, SIDE],
            ).fetchall():
                dba.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
                dba.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            roles = [name for (name,) in dba.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'").fetchall()]
            strange = [name for name in roles if name not in base]
            with self.server.connect(SIDE) as side:
                side.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
                for name in (*strange, "jit_quarantine", OUTSIDER):
                    if name in roles:
                        side.execute(f'DROP OWNED BY "{name}" CASCADE')
                prepare_database(side)
            for name in strange:
                dba.execute(f'DROP OWNED BY "{name}" CASCADE')
            for name in strange:
                dba.execute(f'DROP ROLE "{name}"')

    def _state(self) -> frozenset[Fact]:
        """What belongs to the cluster and must be the same at the start of each sequence."""
        with self.server.connect() as dba:
            facts = read_facts(dba)
        with self.server.connect(SIDE) as side:
            return facts | read_facts(side)


@contextmanager
def ground(version: int, directory: Path) -> Iterator[Ground]:
    """Run a server to fight on, and remove it afterwards."""
    made = Ground(version, directory)
    try:
        yield made
    finally:
        made.destroy()
