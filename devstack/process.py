"""Child processes that start, get ready and stop for certain.

Each child is the leader of its own session, writes to a log file, and gets a signal from the kernel when this process
dies, however it dies, unless it is meant to outlive it. That signal is sent when the *thread* that started the child
ends, so one thread that lives as long as the process starts them all.
"""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from devstack.accounts import Account, drop_arguments, setpriv

POLL_SECONDS = 0.01
_PR_SET_PDEATHSIG = 1

# Every server has its folder in this environment variable, so that one that outlived its runner can be found.
DIRECTORY_MARKER = "DEVSTACK_DIRECTORY"
# The name of a file in that folder, for those that wipe their environment.
LEFT_FILE = "process"


class ProcessError(RuntimeError):
    """A child did not start, did not get ready, or did not stop."""


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Poll until the condition holds; raise ProcessError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ProcessError(f"{what}: not within {timeout:g} s")
        time.sleep(POLL_SECONDS)


@dataclass(slots=True)
class ChildProcess:
    """One child. `death_signal` is what the kernel sends it when this process dies; without one it lives on."""

    name: str
    argv: Sequence[str]
    log_path: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    death_signal: signal.Signals | None = signal.SIGKILL
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log_offset: int = field(default=0, init=False)

    @property
    def pid(self) -> int | None:
        return None if self._popen is None else self._popen.pid

    @property
    def returncode(self) -> int | None:
        return None if self._popen is None else self._popen.poll()

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the child; raise ProcessError when it runs already."""
        if self.is_running:
            raise ProcessError(f"{self.name} runs already")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log_offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._popen = _on_spawner(self._spawn)

    def wait_ready(self, condition: Callable[[], bool], *, timeout: float = 30) -> None:
        """Wait until the condition holds; raise ProcessError with the log's end when the child exits or is late."""

        def ready_or_gone() -> bool:
            return not self.is_running or condition()

        try:
            wait_until(ready_or_gone, timeout=timeout, what=f"{self.name} is ready")
        except ProcessError as error:
            raise ProcessError(f"{error}\n{self.log_tail()}") from None
        if not self.is_running:
            raise ProcessError(f"{self.name} exited with status {self.returncode}\n{self.log_tail()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child itself, if it lives."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout: float = 10) -> None:
        """Ask the child to end with `number`, insist with SIGKILL after `timeout` seconds, leave no descendant."""
        if self._popen is None:
            return
        family = descendants(self._popen.pid)
        self.send(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)
        self._kill_family(family)

    def kill(self) -> None:
        """Kill the child and all its descendants at once, as a crash of the machine would."""
        if self._popen is not None:
            self._kill_family(descendants(self._popen.pid))

    def log_tail(self, lines: int = 25) -> str:
        """Return the last lines of the log."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 64 * 1024))
                text = log.read().decode(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def log_since_start(self) -> str:
        """Return what the child has written since its last start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def _kill_family(self, family: Sequence["ProcessId"]) -> None:
        """Kill what is left of the child, its process group and the given descendants; wait until they are gone."""
        child = self._popen
        if child is None:
            return
        if child.poll() is None:
            family = [*family, *descendants(child.pid)]
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait(10)
        # The leader is reaped, but its group keeps the number reserved as long as a member lives.
        for pid in group_members(child.pid):
            pid.kill()
        for pid in family:
            pid.kill()
        wait_until(lambda: not any(p.is_alive for p in family), timeout=10, what=f"{self.name}: descendants gone")

    def _spawn(self) -> subprocess.Popen[bytes]:
        command, prepare, user, group = self._command()
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
                preexec_fn=prepare,  # only when setpriv is missing
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
            )

    def _command(self) -> tuple[list[str], Callable[[], None] | None, int | None, int | None]:
        """Return argv, the function to run in the child, and the user and group to switch to."""
        tool = setpriv()
        if tool is None:
            account = self.account
            ids = (None, None) if account is None else (account.uid, account.gid)
            prepare = None if self.death_signal is None else _death_signal_setter(self.death_signal)
            return [*self.argv], prepare, *ids
        options = [] if self.death_signal is None else [f"--pdeathsig={self.death_signal.name.removeprefix('SIG')}"]
        if self.account is not None:
            options += drop_arguments(self.account)
        return [tool, *options, "--", *self.argv], None, None, None


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one of the same number by its start time."""

    pid: int
    started: str

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs; a zombie does not."""
        found = _stat(self.pid)
        return found is not None and found[2] == self.started and found[0] not in "ZX"

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal if it still is the same process."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def process_id(pid: int) -> ProcessId:
    """Return the identity of a process that exists; raise ProcessError otherwise."""
    found = _stat(pid)
    if found is None:
        raise ProcessError(f"there is no process {pid}")
    return ProcessId(pid, found[2])


def descendants(pid: int) -> list[ProcessId]:
    """Return the children of a process, their children, and so on."""
    children: dict[int, list[ProcessId]] = {}
    for other, found in _all_stats():
        children.setdefault(found[1], []).append(ProcessId(other, found[2]))
    result: list[ProcessId] = []
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            result.append(child)
            todo.append(child.pid)
    return result


def group_members(group: int) -> list[ProcessId]:
    """Return the live processes of a process group."""
    return [ProcessId(pid, found[2]) for pid, found in _all_stats() if found[3] == group and found[0] not in "ZX"]


def processes_of(folder: Path) -> list[ProcessId]:
    """Return the live processes, other than this one, whose DIRECTORY_MARKER is the folder or one in it."""
    exact = f"{DIRECTORY_MARKER}={folder}".encode()
    result = []
    for pid, found in _all_stats():
        if pid == os.getpid() or found[0] in "ZX":
            continue
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if any(entry == exact or entry.startswith(exact + b"/") for entry in environment.split(b"\0")):
            result.append(ProcessId(pid, found[2]))
    return result


def write_left_process(path: Path, pid: int | None) -> None:
    """Note a process in a file, for one that wipes its environment and so is not found by its DIRECTORY_MARKER."""
    if pid is not None:
        path.write_text(f"{pid} {process_id(pid).started}")


def left_process(path: Path) -> ProcessId | None:
    """Return the process that such a file notes, dead or alive."""
    try:
        pid, started = path.read_text().split()
    except (OSError, ValueError):
        return None
    return ProcessId(int(pid), started)


def end_processes(processes: Sequence[ProcessId], number: signal.Signals, *, timeout: float) -> None:
    """Ask processes that need not be children of ours to end, then insist."""
    for process in processes:
        process.kill(number)
    with contextlib.suppress(ProcessError):
        wait_until(lambda: not any(p.is_alive for p in processes), timeout=timeout, what="left-over processes end")
    for process in processes:
        process.kill()
    wait_until(lambda: not any(p.is_alive for p in processes), timeout=10, what="left-over processes are killed")


def _all_stats() -> list[tuple[int, tuple[str, int, str, int]]]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, found) for pid in pids if (found := _stat(pid)) is not None]


def _stat(pid: int) -> tuple[str, int, str, int] | None:
    """Return state, parent, start time and process group of a process (proc(5)), or None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), fields[19], int(fields[2])


def _death_signal_setter(number: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))

    return set_death_signal


_Job = tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
_jobs: "queue.SimpleQueue[_Job]" = queue.SimpleQueue()
_spawner_lock = threading.Lock()
_spawner: tuple[int, threading.Thread] | None = None


def _on_spawner(job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Run the job in the thread that starts children, made on first use and again after a fork."""
    global _spawner, _jobs
    with _spawner_lock:
        if _spawner is None or _spawner[0] != os.getpid():
            _jobs = queue.SimpleQueue()
            thread = threading.Thread(target=_run_jobs, args=(_jobs,), name="devstack-spawner", daemon=True)
            thread.start()
            _spawner = (os.getpid(), thread)
        result: Future[subprocess.Popen[bytes]] = Future()
        _jobs.put((job, result))
    return result.result(timeout=60)


def _run_jobs(jobs: "queue.SimpleQueue[_Job]") -> None:
    while True:
        job, result = jobs.get()
        try:
            result.set_result(job())
        except Exception as error:
            result.set_exception(error)
