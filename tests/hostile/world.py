"""One sequence of acts on a database of its own: who is logged in, who holds what open, and the engine's part."""

from __future__ import annotations

import re
import select
import time
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg.pq import ExecStatus, PGconn, PollingStatus

from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.targets import ApplyReceipt, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from tests.hostile.acts import ALICE, BOB, DBA, OWNER, PREFIX, WALTER, Act, Excuses, How, Step
from tests.hostile.catalogue import ACTS, SETS
from tests.hostile.ground import ADMIN_LOGIN, ADMIN_PASSWORD, SIDE, Ground
from tests.orders import as_made, make_order

INSTALLATION = Installation("hostile", "tag-key-of-the-tests")
OPTIONS = "-c lock_timeout=100ms -c statement_timeout=2s -c client_min_messages=error"
LARGE_OBJECTS = {ALICE: 9001, BOB: 9002, WALTER: 9003}
PASSWORDS = ("another-password", "third-password", "fourth-password", "x")
MOST_SESSIONS = 12
DELAY_SECONDS = 1


@dataclass(slots=True)
class Held:
    """A session that somebody keeps open. `is_open` says that it is in a transaction."""

    actor: str
    conn: psycopg.Connection
    how: How


class SlowLogin:
    """A sign-in whose backend sleeps between the password and the first answer, as any client may ask for."""

    def __init__(self, actor: str, dsn: str) -> None:
        self.actor = actor
        self.wire = PGconn.connect_start(f"{dsn} options='-c post_auth_delay={DELAY_SECONDS}'".encode())
        self._go_on(DELAY_SECONDS / 4)

    def is_in(self) -> bool:
        """Wait until the server has made up its mind, and say whether it let the sign-in be a session that works."""
        if self._go_on(DELAY_SECONDS * 4) is not PollingStatus.OK:
            return False
        return self.wire.exec_(b"SELECT 1").status is ExecStatus.TUPLES_OK

    def _go_on(self, seconds: float) -> PollingStatus:
        until = time.monotonic() + seconds
        status = self.wire.connect_poll()
        while status in (PollingStatus.READING, PollingStatus.WRITING) and time.monotonic() < until:
            sockets = [self.wire.socket]
            is_read = status is PollingStatus.READING
            if any(select.select(sockets if is_read else [], [] if is_read else sockets, [], 0.05)):
                status = self.wire.connect_poll()
        return PollingStatus(status)

    def close(self) -> None:
        """Hang up."""
        self.wire.finish()


@dataclass(frozen=True, slots=True)
class Login:
    """A grant's login, as the engine reported it."""

    order: GrantOrder
    receipt: ApplyReceipt
    capability: str

    @property
    def oid(self) -> int:
        """The login's OID, by which it is known whatever its name."""
        return self.receipt.role_oid


class World:
    """A database with people at work in it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.server = ground.server
        self.database = ground.new_database()
        self.dba = self.server.connect(self.database, options=OPTIONS)
        self.db_oid = int(self._ask("SELECT oid FROM pg_database WHERE datname = current_database()"))
        self.logins: dict[str, Login] = {}
        self.capabilities: dict[str, PermissionSet] = {}
        self.main: dict[str, psycopg.Connection] = {}
        self.held: list[Held] = []
        self.slow: list[SlowLogin] = []
        self.excuses = Excuses()
        self.undo: list[str] = []
        self.is_shut_out = self.is_shut = False
        self.copies = 0

    def _ask(self, query: str, *values: object) -> object:
        row = self.dba.execute(query, values).fetchone()  # type: ignore[arg-type]
        return row[0] if row else None

    # --- the engine's part ---

    @property
    def target(self) -> Target:
        """The resource as an attentive admin keeps it: with the database's present name."""
        name = self._ask("SELECT datname FROM pg_database WHERE oid = %s::oid", self.db_oid)
        self.database = str(name)
        return Target(
            resource_id=1,
            name="shop",
            host="localhost",
            port=self.server.port,
            database_name=self.database,
            username=ADMIN_LOGIN,
            password=ADMIN_PASSWORD,
        )

    def give(self, who: str, wanted: int) -> Login:
        """Give a person a grant of a set, by the engine."""
        grants, schemas, tables = SETS[wanted]
        permissions = parse_permissions(
            {"grants": grants.split(","), "schemas": schemas.split(","), "tables": tables.split(",")}
        )
        order = make_order(INSTALLATION, permissions, who=who)
        capability = order.set.capability
        self.capabilities[capability] = permissions
        receipt = apply_grant(self.target, order)
        order = as_made(
            order,
            role_oid=receipt.role_oid,
            system_identifier=receipt.system_identifier,
            triggers_before=receipt.triggers_before,
        )
        self.logins[who] = Login(order, receipt, capability)
        return self.logins[who]

    # --- people's part ---

    def names(self, step: Step) -> dict[str, str]:
        """Return what stands for the words in braces of an act."""
        rows = self.dba.execute(
            "SELECT oid::bigint, rolname::text FROM pg_roles WHERE rolname ~ '^(jit|d_)'"
        ).fetchall()
        by_oid = dict(rows)
        name = {who: by_oid.get(login.oid, login.order.login.role_name) for who, login in self.logins.items()}
        me = {OWNER: "app_owner", DBA: "postgres", WALTER: "walter"} | name
        mine = self.logins.get(step.actor) or self.logins[ALICE]
        other = BOB if step.actor == ALICE else ALICE
        whom = {
            "walter": "walter",
            "public": "PUBLIC",
            "group": "reports",
            "other": name.get(other, "walter"),
            "login": name[ALICE],
            "cap": self.logins[ALICE].capability,
            "bobcap": self.logins[BOB].capability,
        }[step.whom]
        return {
            "me": me[step.actor],
            "p": PREFIX[step.actor],
            "cap": mine.capability,
            "alice": name[ALICE],
            "bob": name[BOB],
            "alicecap": self.logins[ALICE].capability,
            "bobcap": self.logins[BOB].capability,
            "db": self.database,
            "whom": whom,
            "schema": step.schema,
            "lo": str(LARGE_OBJECTS.get(step.actor, 9009)),
            "alo": str(LARGE_OBJECTS[ALICE]),
            "port": str(self.server.port),
            "password": mine.order.password,
            "with_inherit": " WITH INHERIT TRUE, SET FALSE" if self.ground.version >= 16 else "",
        }

    def connect(self, actor: str, database: str = "") -> psycopg.Connection:
        """Log in as a person does."""
        where = database or self.database
        if actor in self.logins:
            login = self.logins[actor]
            name = self._ask("SELECT rolname FROM pg_roles WHERE oid = %s::oid", login.oid)
            for password in (login.order.password, *PASSWORDS):
                with suppress(psycopg.OperationalError):
                    return self.server.connect(where, str(name), password, options=OPTIONS)
            raise psycopg.OperationalError("no password is taken")
        user = {OWNER: "app_owner", WALTER: "walter", DBA: "postgres"}[actor]
        return self.server.connect(where, user, options=OPTIONS)

    def play(self, step: Step) -> bool:
        """Do one act; say whether the server took any of it."""
        act = ACTS[step.act]
        if not act.since <= self.ground.version < act.until or step.actor not in act.actors:
            return False
        names = self.names(step)
        statements = [text.format(**names) for text in act.sql]
        try:
            done = self._do(act, step.actor, statements)
        except psycopg.Error:
            done = False
        if done and step.actor in (DBA, OWNER, WALTER):
            words = names | {"db": "main"}
            self.excuses.leaves += [text.format(**words) for text in act.leaves]
            self.excuses.takes += [text.format(**words) for text in act.takes]
            self.undo += [text.format(**names) for text in act.undo]
            self.is_shut_out |= act.name == "no connections of the admin login"
            self.is_shut |= act.name in {"refuse connections to the database", "no connections to the database"}
        if act.name == "rename the database":
            self.target  # noqa: B018 - reads the name anew
        return done

    def _do(self, act: Act, actor: str, statements: list[str]) -> bool:
        if act.how is How.SLOW:
            login = self.logins[actor]
            self.slow.append(
                SlowLogin(actor, self.server.dsn(self.database, login.order.login.role_name, login.order.password))
            )
            return True
        if act.how is How.MAIN:
            conn = self.main.get(actor)
            if conn is None or conn.closed:
                conn = self.main[actor] = self.connect(actor)
            return self._run(conn, statements)
        if len(self.held) >= MOST_SESSIONS:
            return False
        database = {How.SIDE: SIDE, How.MADE: f"{PREFIX[actor]}_db"}.get(act.how, "")
        if act.name == "many sessions":
            for _ in range(4):
                self.held.append(Held(actor, self.connect(actor), act.how))
            return True
        conn = self.connect(actor, database)
        if act.how is How.BUSY:
            done = self._run(conn, statements[:-1])
            conn.pgconn.send_query(statements[-1].encode())
        else:
            if act.how is How.OPEN:
                conn.execute("BEGIN")
            done = self._run(conn, statements)
        if done and act.how is not How.MADE:
            self.held.append(Held(actor, conn, act.how))
        else:
            conn.close()
        return done or act.how is How.BUSY

    @staticmethod
    def _run(conn: psycopg.Connection, statements: list[str]) -> bool:
        done = False
        is_open = conn.info.transaction_status != 0
        for statement in statements:
            try:
                if is_open and not statement.startswith("PREPARE TRANSACTION"):
                    conn.execute("SAVEPOINT s")
                conn.execute(statement)  # type: ignore[arg-type]
                done = done or not re.match("(RESET|SET) ", statement) or len(statements) == 1
            except psycopg.Error:
                if conn.closed:
                    return done
                if is_open:
                    conn.execute("ROLLBACK TO s" if not statement.startswith("PREPARE TRANSACTION") else "ROLLBACK")
        return done

    def release(self, *but_not: str) -> None:
        """Close what permanent people and colleagues hold open, and undo what a DBA keeps the portal out with."""
        for held in [held for held in self.held if held.actor not in but_not]:
            held.conn.close()
            self.held.remove(held)
        for statement in self.undo:
            with suppress(psycopg.Error):
                self.dba.execute(statement)  # type: ignore[arg-type]
        self.undo.clear()

    def roll_back_prepared(self, actor: str) -> None:
        """Roll back what somebody prepared in this database, as a DBA does with their consent."""
        prefix = PREFIX[actor]
        for (gid,) in self.dba.execute(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
        ).fetchall():
            if gid.startswith(f"{prefix}_"):
                self.dba.execute(f"ROLLBACK PREPARED '{gid}'")

    def close(self) -> None:
        """Close every connection."""
        for slow in self.slow:
            slow.close()
        for conn in (*(held.conn for held in self.held), *self.main.values(), self.dba):
            conn.close()
