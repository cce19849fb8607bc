"""Folders for the files of throw-away servers, removed at exit, and by the next run when there was no exit."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from devstack.process import ProcessId, process_id

_PREFIX = "access-portal-"
_OWNER_FILE = "owner"
_NEEDED_BYTES = 3 * 1024**3


def make_workspace(purpose: str) -> Path:
    """Make a folder, in memory when there is room, that goes when this process does."""
    base = base_folder()
    remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-", dir=base))
    # The account of the servers has to pass through; what is private in it has modes of its own.
    folder.chmod(0o711)
    owner = process_id(os.getpid())
    (folder / _OWNER_FILE).write_text(f"{owner.pid} {owner.started}")
    atexit.register(_remove, folder, os.getpid())
    return folder


def remove_abandoned(base: Path) -> None:
    """Remove the folders whose process is gone."""
    for folder in base.glob(f"{_PREFIX}*"):
        try:
            pid, _, started = (folder / _OWNER_FILE).read_text().partition(" ")
            is_abandoned = not ProcessId(int(pid), started).is_alive
        except (OSError, ValueError):
            continue
        if is_abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def base_folder() -> Path:
    """Return where the folders are made: in memory when there is room."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _NEEDED_BYTES:
        return memory
    return Path(tempfile.gettempdir())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
