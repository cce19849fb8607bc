"""Test servers that outlive the run that started them, for a quick loop: `make quick`, and `make stop` to stop them.

With KEEP_TEST_SERVERS in the environment each test process takes a *place*: a folder of servers that no other process
uses, held by a lock that goes with the process. The next process that takes it finds its servers running, and starts
those that are not. A checkout has places of its own, and servers that were made by other code of this package (or
another PostgreSQL) are never taken up again. Standard library only.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TextIO

from devstack.paths import CACHE, ROOT
from devstack.process import LEFT_FILE, ProcessId, descendants, end_processes, left_process, processes_of
from devstack.workspace import base_folder

SWITCH = "KEEP_TEST_SERVERS"
_PREFIX = "access-portal-kept-"
_CHECKOUT_FILE = "checkout"
_STATE_FILE = CACHE / "kept-servers"
_MADE_BY = ("devstack/*.py", "package-lock.json", "requirements/development.txt")

_held: list[TextIO] = []


@cache
def kept_place() -> Path | None:
    """Return the folder of this process's kept servers; None when its servers go with it."""
    if not os.environ.get(SWITCH):
        return None
    with _locked_state():
        _stop_abandoned()
        home = _home() or _make_home()
        made_by = _code_hash()
        for other in home.iterdir():
            if other.is_dir() and other.name != made_by and not _is_used(other):
                stop_servers(other)
        for number in count():
            place = home / made_by / str(number)
            place.mkdir(parents=True, exist_ok=True)
            if _take(place):
                return place
    raise AssertionError("unreachable")


def stop_servers(folder: Path) -> int:
    """End every server that has its files in the folder, and remove it; return how many processes were ended."""
    leaders = servers_in(folder)
    family = [*leaders, *(child for leader in leaders for child in descendants(leader.pid))]
    end_processes(family, signal.SIGINT, timeout=20)
    shutil.rmtree(folder, ignore_errors=True)
    return len(leaders)


def servers_in(folder: Path) -> list[ProcessId]:
    """Return the servers that run and have their files in the folder."""
    depths = ("", "*/", "*/*/", "*/*/*/")  # never into a server's data
    noted = [left_process(path) for depth in depths for path in folder.glob(f"{depth}{LEFT_FILE}")]
    return [*processes_of(folder), *(process for process in noted if process is not None and process.is_alive)]


def main() -> int:
    """Stop the servers of this checkout; return an exit status."""
    with _locked_state():
        home = _home()
        if home is not None and any(_is_used(made_by) for made_by in home.iterdir() if made_by.is_dir()):
            print("A test run still uses the kept servers: end it first.", file=sys.stderr)
            return 1
        ended = 0 if home is None else stop_servers(home)
        _STATE_FILE.unlink(missing_ok=True)
    print(f"{ended} kept servers stopped")
    return 0


@contextmanager
def _locked_state() -> Iterator[None]:
    CACHE.mkdir(exist_ok=True)
    with _STATE_FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _home() -> Path | None:
    """Return the folder of all places of this checkout, if it was made and is still there."""
    try:
        home = Path(_STATE_FILE.read_text())
    except OSError:
        return None
    return home if _checkout_of(home) == ROOT else None


def _make_home() -> Path:
    home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base_folder()))
    home.chmod(0o711)  # the account of the servers has to pass through
    (home / _CHECKOUT_FILE).write_text(str(ROOT))
    _STATE_FILE.write_text(str(home))
    return home


def _checkout_of(home: Path) -> Path | None:
    try:
        return Path((home / _CHECKOUT_FILE).read_text())
    except OSError:
        return None


def _stop_abandoned() -> None:
    """Stop what was kept for checkouts that are gone, or have forgotten it."""
    for home in base_folder().glob(f"{_PREFIX}*"):
        checkout = _checkout_of(home)
        if checkout is None:
            continue
        state = checkout / _STATE_FILE.relative_to(ROOT)
        if not state.exists() or state.read_text() != str(home):
            stop_servers(home)


def _code_hash() -> str:
    digest = hashlib.sha256()
    for pattern in _MADE_BY:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _take(place: Path) -> bool:
    lock = (place / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    _held.append(lock)
    return True


def _is_used(folder: Path) -> bool:
    """Say whether a process holds one of the places in the folder."""
    for path in folder.glob("*/lock"):
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


if __name__ == "__main__":
    sys.exit(main())
