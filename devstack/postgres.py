"""A PostgreSQL server of any supported version in a folder, and streaming standbys of it."""

import enum
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import LiteralString, Self

import psycopg
from psycopg.conninfo import make_conninfo

from devstack.accounts import give, server_account
from devstack.certs import ServerCertificate
from devstack.pgcontrol import renew_system_identifier
from devstack.ports import free_port
from devstack.postgres_binaries import (
    SETTINGS_FILE,
    VERSIONS,
    copy_cluster,
    program,
    psql_path,
    template_cluster,
)
from devstack.process import (
    DIRECTORY_MARKER,
    ChildProcess,
    ProcessError,
    ProcessId,
    descendants,
    end_processes,
    processes_of,
)
from devstack.standby import copy_primary

__all__ = ["VERSIONS", "PostgresServer", "StopMode", "psql_path"]

SUPERUSER = "postgres"
_START_ATTEMPTS = 5

_BASE_SETTINGS: Mapping[str, str] = {
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}
# Commits stay synchronous, so that what was committed outlives a killed server and is in the WAL position.
_FAST_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
}


RESERVED_SINCE = 16


class StopMode(enum.StrEnum):
    """How to stop: wait for clients, cut them off, or leave recovery to the next start."""

    SMART = "smart"
    FAST = "fast"
    IMMEDIATE = "immediate"


_SIGNALS = {
    StopMode.SMART: signal.SIGTERM,
    StopMode.FAST: signal.SIGINT,
    StopMode.IMMEDIATE: signal.SIGQUIT,
}


class PostgresServer:
    """One server: its files in `directory`, TCP on `listen` only, superuser `postgres` with a generated password.

    `settings` are lines of postgresql.conf; `hba` replaces the lines of pg_hba.conf; `durable=False` gives up safety
    against a crash of the machine for speed. The port is chosen at the first start, unless given, and then kept.
    `listen` is an address of the loopback network. One that `outlives` this process stays for the next that starts it.
    """

    def __init__(
        self,
        version: int,
        directory: Path,
        *,
        tls: ServerCertificate | None = None,
        settings: Mapping[str, str | int | bool] | None = None,
        hba: Sequence[str] | None = None,
        durable: bool = True,
        port: int | None = None,
        listen: str = "127.0.0.1",
        outlives: bool = False,
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"PostgreSQL {version} is not one of {VERSIONS}")
        self.version = version
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log_path = self.directory / "server.log"
        self.tls = tls
        self.settings = dict(settings or {})
        self.hba = list(hba) if hba is not None else None
        self.durable = durable
        self.listen = listen
        self.outlives = outlives
        self._port = port
        self._has_fixed_port = port is not None
        self._account = server_account()
        self._process: ChildProcess | None = None
        self._left: ProcessId | None = None

    # --- life ---

    def init(self) -> Self:
        """Make the cluster, unless it is there."""
        if (self.data / "PG_VERSION").exists():
            return self
        template, password = template_cluster(self.version)
        self._prepare_directory()
        copy_cluster(template, self.data)
        renew_system_identifier(self.data)
        self._write_password(password)
        return self

    def start(self, *, timeout: float = 60) -> Self:
        """Start (after making the cluster and clearing what a crash left) and wait until it takes connections."""
        if self.is_running or (self.outlives and self._is_left_running()):
            return self
        self.init()
        self._clear_stale()
        for attempt in range(1, _START_ATTEMPTS + 1):
            if self._port is None:
                self._port = free_port(self.listen)
            self.configure()
            self._process = self._new_process()
            self._process.start()
            try:
                self._process.wait_ready(self._accepts, timeout=timeout)
            except ProcessError:
                self._process.kill()
                if (
                    self._has_fixed_port
                    or attempt == _START_ATTEMPTS
                    or "Address already in use" not in self._process.log_since_start()
                ):
                    raise
                self._port = None
                continue
            self._has_fixed_port = True
            return self
        raise AssertionError("unreachable")

    def stop(self, mode: StopMode | str = StopMode.FAST, *, timeout: float = 30) -> None:
        """Stop; kill it when it takes longer than `timeout` seconds."""
        if self._process is not None:
            self._process.stop(_SIGNALS[StopMode(mode)], timeout=timeout)
            self._process = None

    def kill(self) -> None:
        """Kill every process of the server with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self, mode: StopMode | str = StopMode.FAST) -> Self:
        """Stop and start on the same port."""
        self.stop(mode)
        return self.start()

    def destroy(self) -> None:
        """Stop at once and remove the files."""
        self.stop(StopMode.IMMEDIATE)
        if self.outlives:
            self._clear_stale()
        shutil.rmtree(self.directory, ignore_errors=True)

    def reload(self) -> None:
        """Write the configuration files and have them read again (not every setting, see the manual)."""
        self.configure()
        with self.connect() as conn:
            conn.execute("SELECT pg_reload_conf()")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.destroy()

    # --- facts ---

    @property
    def is_running(self) -> bool:
        left = self._left is not None and self._left.is_alive
        return left or (self._process is not None and self._process.is_running)

    @property
    def pid(self) -> int | None:
        if self._process is None:
            return None if self._left is None else self._left.pid
        return self._process.pid

    @property
    def port(self) -> int:
        """The TCP port; known once the server was started or was given one."""
        if self._port is None:
            raise RuntimeError("the server has no port before its first start")
        return self._port

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self._password_file.read_text()

    @property
    def system_identifier(self) -> int:
        """The number that a primary and its standbys share, and no other server."""
        with self.connect() as conn:
            row = conn.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
        assert row is not None
        return int(row[0])

    def dsn(
        self, dbname: str = "postgres", user: str = SUPERUSER, password: str | None = None, **options: str | int
    ) -> str:
        """Return a libpq connection string; without a user it is the superuser's."""
        if password is None and user == SUPERUSER:
            password = self.password
        facts: dict[str, str | int | None] = {
            "host": "localhost",
            "hostaddr": self.listen,
            "port": self.port,
            "dbname": dbname,
            "user": user,
            "password": password,
            "connect_timeout": 5,
            "sslmode": "require" if self.tls else "disable",
        }
        return make_conninfo("", **{**facts, **options})

    def connect(
        self,
        dbname: str = "postgres",
        user: str = SUPERUSER,
        password: str | None = None,
        *,
        autocommit: bool = True,
        **options: str | int,
    ) -> psycopg.Connection:
        """Open a connection, in autocommit mode unless told otherwise."""
        return psycopg.connect(self.dsn(dbname, user, password, **options), autocommit=autocommit)

    def execute(self, *statements: LiteralString, dbname: str = "postgres") -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        with self.connect(dbname) as conn:
            for statement in statements:
                conn.execute(statement)

    def log_tail(self, lines: int = 25) -> str:
        """Return the end of the server's log."""
        return ChildProcess("log", [], self.log_path).log_tail(lines)

    # --- standby ---

    def create_standby(
        self,
        directory: Path,
        *,
        tls: ServerCertificate | None = None,
        settings: Mapping[str, str | int | bool] | None = None,
        hba: Sequence[str] | None = None,
        port: int | None = None,
        listen: str = "127.0.0.1",
    ) -> "PostgresServer":
        """Copy this running server and return a stopped streaming standby of it, with a slot of its own."""
        standby = PostgresServer(
            self.version,
            directory,
            tls=tls,
            settings={**self.settings, **(settings or {})},
            hba=hba if hba is not None else self.hba,
            durable=self.durable,
            port=port,
            listen=listen,
        )
        standby._prepare_directory()
        slot = copy_primary(self.connect, self.version, self.data, standby.data, standby._account)
        standby._slot_file.write_text(slot)
        standby._write_password(self.password)
        return standby.follow(self)

    def follow(self, primary: "PostgresServer") -> Self:
        """Point this standby, made by `create_standby` in an earlier run perhaps, to where its primary is now."""
        slot = self._slot_file.read_text()
        self.settings.update(primary_conninfo=primary.dsn(), primary_slot_name=slot)
        return self

    # --- files ---

    def configure(self) -> None:
        """Write the settings, pg_hba.conf and the TLS files."""
        values: dict[str, str | int | bool] = {"port": self.port, "listen_addresses": self.listen, **_BASE_SETTINGS}
        if not self.durable:
            values.update(_FAST_SETTINGS)
        if self.tls is not None:
            paths = self.tls.write(self.directory / "tls", "server")
            for path in paths:
                give(path, self._account)
            values.update(ssl=True, ssl_cert_file=str(paths[0]), ssl_key_file=str(paths[1]), ssl_ca_file=str(paths[2]))
        if self.version >= RESERVED_SINCE:
            values["reserved_connections"] = 3
        values.update(self.settings)
        self._write(self.data / SETTINGS_FILE, (f"{name} = {_quoted(value)}" for name, value in values.items()))
        self._write(self.data / "pg_hba.conf", self.hba if self.hba is not None else self._default_hba())

    def _default_hba(self) -> list[str]:
        kinds = ["hostssl", "host"] if self.tls else ["host"]
        databases = ("all", "replication")
        return [f"{kind} {database} all 127.0.0.0/8 scram-sha-256" for kind in kinds for database in databases]

    def _write(self, path: Path, lines: Iterable[str]) -> None:
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o600)
        give(path, self._account)

    def _prepare_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def _password_file(self) -> Path:
        return self.directory / "superuser.password"

    @property
    def _slot_file(self) -> Path:
        return self.directory / "slot"

    def _write_password(self, password: str) -> None:
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(password)

    # --- the process ---

    def _new_process(self) -> ChildProcess:
        return ChildProcess(
            name=f"postgres-{self.version}",
            argv=[str(program(self.version, "postgres")), "-D", str(self.data)],
            log_path=self.log_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.data), "LC_ALL": "C", DIRECTORY_MARKER: str(self.directory)},
            cwd=Path("/"),
            account=self._account,
            death_signal=None if self.outlives else signal.SIGINT if self.durable else signal.SIGQUIT,
        )

    def _accepts(self) -> bool:
        """Tell whether it takes connections; reading its state file costs nothing until it says so."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[7].strip() not in ("ready", "standby") or int(lines[0]) != self.pid:
            return False
        try:
            self.connect().close()
        except psycopg.OperationalError as error:
            if error.sqlstate == "57P03" or "starting up" in str(error):
                return False
            # Refused sign-ins are an answer too: pg_hba.conf may shut the superuser out on purpose.
            return error.pgconn is not None and "FATAL" in str(error)
        return True

    def _is_left_running(self) -> bool:
        """Take up the server that an earlier process left in this folder; False when there is none that answers."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            left = [process for process in processes_of(self.directory) if process.pid == int(lines[0])]
            self._port = int(lines[3])
            self.connect().close()
        except (OSError, ValueError, IndexError, psycopg.OperationalError):
            return False
        self._left = left[0] if left else None
        return self._left is not None

    def _clear_stale(self) -> None:
        """End a server that outlived its runner in this folder, and remove the lock file of one that did not."""
        left = processes_of(self.directory)
        families = [*left, *(child for parent in left for child in descendants(parent.pid))]
        end_processes(families, signal.SIGINT, timeout=20)
        (self.data / "postmaster.pid").unlink(missing_ok=True)


def _quoted(value: str | int | bool) -> str:
    text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"
