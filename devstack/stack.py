"""The whole product on one machine: the portal with its database, queue and workers, and a target with a replica."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO, Self

from devstack import aws
from devstack.demo_data import create_demo_database
from devstack.demo_resources import (
    PRIMARY_HBA,
    PRIMARY_SECRET,
    REPLICA_SECRET,
    STANDBY_HBA,
    facts_of,
    secret_of,
)
from devstack.paths import ROOT
from devstack.people import PEOPLE
from devstack.portal_database import create_portal_database_with_owner
from devstack.ports import free_port, is_free
from devstack.postgres import PostgresServer
from devstack.process import (
    DIRECTORY_MARKER,
    ChildProcess,
    ProcessId,
    descendants,
    end_processes,
    processes_of,
    wait_until,
)
from devstack.redis import RedisServer
from devstack.stack_state import StackState, write_private
from devstack.static_files import collect_static_files
from devstack.supervisor import Supervisor

VERSION = 18
SERVERS = ("postgres-portal", "postgres-primary", "postgres-standby", "redis", "aws")
WORKERS = ("worker-ending", "worker-applying", "worker-drift", "worker-looks", "worker-upkeep")
APPLICATION = ("web", *WORKERS, "beat")


class StackError(RuntimeError):
    """The stack cannot start; the text says why and what to do."""


class Stack:
    """All processes of one installation, with all its files below `state_dir`.

    `fixed_ports` takes the ports of the last run again, where they are free. `port` is the web server's.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        fixed_ports: bool,
        port: int | None = None,
        extra_environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._extra_environment = dict(extra_environment or {})
        self.state_dir = state_dir.absolute()
        self.say = say
        self.supervisor = Supervisor(say)
        self._has_fixed_ports = fixed_ports
        self._wanted_port = port
        self._lock_file: IO[str] | None = None
        self.state: StackState

    # --- life ---

    def start(self) -> Self:
        """Start the servers, bring the portal's database up to date, start the portal, wait until all answers."""
        self.prepare()
        self.start_servers()
        self.migrate()
        self.seed()
        self.start_application()
        self.wait_ready()
        return self

    def prepare(self) -> None:
        """Take the folder for this process, end what another one left in it, and read the secrets."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir.chmod(0o700)
        self._take_lock()
        self._end_leftovers()
        self.state = StackState.load(self._state_path)
        for log in self.logs.glob("*.log"):
            log.unlink()

    def wipe(self) -> None:
        """Forget all that was kept, after `prepare`: end what runs in the folder and begin with new secrets."""
        self.end_leftovers()
        for entry in self.state_dir.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        self.state = StackState.load(self._state_path)

    def start_servers(self) -> None:
        """Start the portal's PostgreSQL and Redis, the target with its data and replica, and the Secrets Manager."""
        ports = {name: self._port(name) for name in SERVERS}
        with ThreadPoolExecutor(2) as pool:
            others = [pool.submit(self._start_target, ports), pool.submit(self._start_aws, ports)]
            self._start_portal_servers(ports)
            for other in others:
                other.result()
        self.web_port = self._wanted_port or self._port("web")
        self.state.ports = {**ports, "web": self.web_port}
        self.state.save(self._state_path)

    def migrate(self) -> None:
        """Bring the schema of the portal's database up to date, as its owner; nothing else knows that role."""
        self.manage("migrate", "--verbosity=0", PORTAL_OWNER_DATABASE_URL=self.owner_database_url)

    def seed(self) -> None:
        """Load people and connection facts, when they are not what was loaded last."""
        facts = json.dumps(self.seed_facts(), indent=1)
        if facts != self.state.seeded:
            path = self.state_dir / "seed.json"
            write_private(path, facts)
            self.manage("seed_demo", "--file", str(path))
            self.state.seeded = facts
            self.state.save(self._state_path)

    def start_application(self) -> None:
        """Start the web server, the workers and the clock."""
        for name, argv in self._commands().items():
            self.supervisor.add(name, self._child(name, argv))

    def wait_ready(self, *, timeout: float = 60) -> None:
        """Wait until the web server and the workers answer; raise ProcessError with the log when one does not."""
        self._process("web").wait_ready(self.answers, timeout=timeout)
        for name in WORKERS:
            self.wait_worker(name, timeout=timeout)

    def wait_worker(self, name: str, *, timeout: float = 60) -> None:
        """Wait until a worker takes tasks from its queues."""
        worker = self._process(name)
        worker.wait_ready(lambda: " ready." in worker.log_since_start(), timeout=timeout)

    def stop(self) -> None:
        """Stop all that was started, end whatever is left, let another process have the folder."""
        self.stop_all()
        self.end_leftovers()
        self.release()

    def stop_all(self) -> None:
        """Stop all that was started, the portal first."""
        for group in (APPLICATION, ("postgres-standby", "redis", "aws"), ("postgres-primary", "postgres-portal")):
            names = [name for name in group if name in self.supervisor]
            if names:
                with ThreadPoolExecutor(len(names)) as pool:
                    list(pool.map(self.supervisor.stop, names))

    def end_leftovers(self) -> None:
        """Kill every process that was started in the folder."""
        end_processes(self.left_processes(), signal.SIGKILL, timeout=5)

    def release(self) -> None:
        """Let another process have the folder."""
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    @property
    def is_prepared(self) -> bool:
        """Tell whether this process has the folder."""
        return self._lock_file is not None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # --- single processes, by name: SERVERS and APPLICATION ---

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL; it stays away until `start_process`."""
        self.supervisor.kill(name)

    def stop_process(self, name: str) -> None:
        """Stop a process in order; it stays away until `start_process`."""
        self.supervisor.stop(name)

    def start_process(self, name: str) -> None:
        """Start a process that was killed or stopped, and wait until it works."""
        self.supervisor.start(name)
        if name == "web":
            self._process(name).wait_ready(self.answers, timeout=60)
        elif name.startswith("worker-"):
            self.wait_worker(name)

    def left_processes(self) -> list[ProcessId]:
        """Return every live process that was started in this stack's folder."""
        found = processes_of(self.state_dir)
        return list(dict.fromkeys([*found, *(child for parent in found for child in descendants(parent.pid))]))

    # --- facts ---

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @cached_property
    def static_root(self) -> Path:
        """The folder of the static files, made on first use."""
        return collect_static_files()

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that configure the portal."""
        return {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url(),
            "PORTAL_SECRET_KEY": self.state.secret_key,
            "PORTAL_AUDIT_CHECKPOINTS": str(self.state_dir / "audit-checkpoints"),
            "PORTAL_ENCRYPTION_KEYS": self.state.encryption_key,
            "PORTAL_INSTALLATION_ID": self.state.installation_id,
            "PORTAL_DEBUG": "0",
            "PORTAL_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "PORTAL_BASE_URL": self.base_url,
            "PORTAL_INSECURE_HTTP": "1",
            "PORTAL_STATIC_ROOT": str(self.static_root),
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.secrets_manager.url,
            **self._extra_environment,
        }

    def seed_facts(self) -> dict[str, object]:
        """Return what `manage.py seed_demo` loads."""
        people = [
            {
                "email": person.email,
                "password": self.state.people_password,
                "name": person.name,
                "is_admin": person.role == "admin",
                "role": person.role,
            }
            for person in PEOPLE
        ]
        return {
            "people": people,
            "primary": facts_of(self.primary, PRIMARY_SECRET, self.state.ca_pem, self.state.client_certificate),
            "replica": facts_of(self.standby, REPLICA_SECRET, self.state.ca_pem),
        }

    def answers(self) -> bool:
        """Tell whether the web server says that it is ready."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=5) as response:  # noqa: S310
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def manage(self, *arguments: str, **extra_environment: str) -> str:
        """Run `manage.py` and return its output; raise StackError when it fails."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        environment = {**self._process_environment(f"manage-{arguments[0]}"), **extra_environment}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    # --- parts ---

    @property
    def _state_path(self) -> Path:
        return self.state_dir / "state.json"

    def _take_lock(self) -> None:
        lock = (self.state_dir / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StackError(f"another one runs already in {self.state_dir.name}/: stop it first") from None
        self._lock_file = lock

    def _end_leftovers(self) -> None:
        """End what a killed runner left. PostgreSQL servers end in order, when they are started again."""
        servers = {self.state_dir / name for name in ("portal", "primary", "standby")}
        spared = {process for folder in servers for process in processes_of(folder)}
        spared |= {child for process in spared for child in descendants(process.pid)}
        end_processes([p for p in self.left_processes() if p not in spared], signal.SIGTERM, timeout=5)

    def _port(self, name: str) -> int:
        last = self.state.ports.get(name)
        if last is None or not self._has_fixed_ports:
            return free_port()
        # A server that outlived its runner still has the port, and is stopped before ours starts.
        is_ours = is_free(last) or processes_of(self.state_dir / name.removeprefix("postgres-"))
        return last if is_ours else free_port()

    def _start_portal_servers(self, ports: Mapping[str, int]) -> None:
        self.portal_server = PostgresServer(VERSION, self.state_dir / "portal", port=ports["postgres-portal"])
        self.redis = RedisServer(self.state_dir / "redis", port=ports["redis"])
        self.supervisor.add("postgres-portal", self.portal_server)
        self.database_url, self.owner_database_url = create_portal_database_with_owner(
            self.portal_server, password=self.state.portal_password
        )
        self.supervisor.add("redis", self.redis)

    def _start_target(self, ports: Mapping[str, int]) -> None:
        folder, tls = self.state_dir / "primary", self.state.primary_certificate
        self.primary = PostgresServer(VERSION, folder, tls=tls, hba=PRIMARY_HBA, port=ports["postgres-primary"])
        self.supervisor.add("postgres-primary", self.primary)
        create_demo_database(self.primary, login_password=self.state.target_password)
        self._start_standby(ports["postgres-standby"])

    def _start_standby(self, port: int) -> None:
        folder, tls = self.state_dir / "standby", self.state.standby_certificate
        if (folder / "complete").exists():
            self.standby = PostgresServer(VERSION, folder, tls=tls, hba=STANDBY_HBA, port=port)
        else:
            self._drop_unused_slots()
            self.standby = self.primary.create_standby(folder, tls=tls, hba=STANDBY_HBA, port=port)
            (folder / "complete").touch()
        self.standby.follow(self.primary)
        self.supervisor.add("postgres-standby", self.standby)

    def _drop_unused_slots(self) -> None:
        """Remove what an interrupted first run left: a slot without a standby keeps WAL for ever."""
        with self.primary.connect() as conn:
            conn.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")

    def _start_aws(self, ports: Mapping[str, int]) -> None:
        servers = {PRIMARY_SECRET: ports["postgres-primary"], REPLICA_SECRET: ports["postgres-standby"]}
        secrets = {name: secret_of(port, self.state.target_password) for name, port in servers.items()}
        self.secrets_manager = aws.SecretsManager(self.state_dir / "aws", secrets=secrets, port=ports["aws"])
        self.supervisor.add("aws", self.secrets_manager)

    def _commands(self) -> dict[str, Sequence[str]]:
        gunicorn = [
            "gunicorn",
            "portal.wsgi:application",
            f"--bind=127.0.0.1:{self.web_port}",
            "--worker-class=gthread",
        ]
        gunicorn += ["--workers=2", "--threads=4", "--graceful-timeout=5", "--no-control-socket", "--access-logfile=-"]
        worker = ["celery", "-A", "portal", "worker", "--loglevel=INFO"]
        beat = ["celery", "-A", "portal", "beat", "--loglevel=INFO", f"--schedule={self.state_dir / 'beat-schedule'}"]
        return {
            "web": gunicorn,
            # Threads: each waits for a target most of the time, and there are more of them than servers hang at once.
            "worker-ending": [*worker, "-Q", "ending", "-n", "ending@%h", "--pool=threads", "-c", "32"],
            "worker-applying": [*worker, "-Q", "applying", "-n", "applying@%h", "--pool=threads", "-c", "24"],
            "worker-drift": [*worker, "-Q", "drift", "-n", "drift@%h", "--pool=threads", "-c", "8"],
            "worker-looks": [*worker, "-Q", "looks", "-n", "looks@%h", "--pool=threads", "-c", "8"],
            "worker-upkeep": [*worker, "-Q", "sweep,default", "-n", "upkeep@%h", "--pool=threads", "-c", "4"],
            "beat": [*beat, f"--pidfile={self.state_dir / 'beat.pid'}"],
        }

    def _child(self, name: str, command: Sequence[str]) -> ChildProcess:
        return ChildProcess(
            name,
            [sys.executable, "-m", *command],
            self.logs / f"{name}.log",
            env=self._process_environment(name),
            cwd=ROOT,
        )

    def _process_environment(self, name: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ") if key in os.environ}
        home = self.state_dir / "home"  # no ~/.postgresql or ~/.pgpass of the person who tries it
        home.mkdir(exist_ok=True)
        marker = {DIRECTORY_MARKER: str(self.state_dir / "application" / name)}
        return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", **marker, **self.environment()}

    def _process(self, name: str) -> ChildProcess:
        process = self.supervisor[name]
        if not isinstance(process, ChildProcess):
            raise KeyError(f"{name} is a server, not a process of the portal")
        return process


def wait_for_replay(primary: PostgresServer, standby: PostgresServer, *, timeout: float = 10) -> None:
    """Wait until the standby has replayed all that is committed on the primary."""
    with primary.connect() as writer, standby.connect() as reader:
        row = writer.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        position = row[0]

        def has_replayed() -> bool:
            return reader.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]).fetchone() == (True,)

        wait_until(has_replayed, timeout=timeout, what="the standby has replayed")
