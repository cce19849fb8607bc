"""Copies a running primary's files into those of a streaming standby.

Only PostgreSQL 16 and 18 come with pg_basebackup here, and without TLS, so this does a low-level backup: start,
copy the files, stop, and write the returned label. The standby's replication slot, made before the copy, keeps all WAL
that it needs.
"""

import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg

from devstack.accounts import Account, give

# Rebuilt by the standby or taken from the stream; the manual's list of what a base backup leaves out.
_EMPTIED = (
    "pg_wal",
    "pg_replslot",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
)
_LEFT_OUT = ("postmaster.pid", "postmaster.opts", "backup_label", "tablespace_map", "standby.signal")


def copy_primary(
    connect: Callable[[], psycopg.Connection],
    version: int,
    source: Path,
    target: Path,
    account: Account | None,
) -> str:
    """Make `target` the files of a standby of the server whose own are in `source`; return its slot's name."""
    slot = f"standby_{secrets.token_hex(4)}"
    with connect() as conn:
        conn.execute("SELECT pg_create_physical_replication_slot(%s, true)", [slot])
        label = _backup(conn, version, source, target)
    _write(target / "backup_label", label, account)
    _write(target / "standby.signal", "", account)
    return slot


def _backup(conn: psycopg.Connection, version: int, source: Path, target: Path) -> str:
    """Copy the files between start and stop of a backup in one session; return the label."""
    if version >= 15:
        conn.execute("SELECT pg_backup_start('devstack', fast => true)")
    else:
        conn.execute("SELECT pg_start_backup('devstack', true, false)")
    _copy_files(source, target)
    if version >= 15:
        row = conn.execute("SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)").fetchone()
    else:
        row = conn.execute("SELECT labelfile FROM pg_stop_backup(false, false)").fetchone()
    assert row is not None
    return str(row[0])


def _copy_files(source: Path, target: Path) -> None:
    # Files may vanish during the copy; cp then reports status 1 and goes on. WAL replay makes up for them.
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=False, capture_output=True)
    if not (target / "global" / "pg_control").exists():
        raise RuntimeError(f"the copy of {source} is not complete")
    for name in _EMPTIED:
        _empty(target / name)
    for name in _LEFT_OUT:
        (target / name).unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    """Remove a folder's files; keep pg_wal's own folders, which the server does not always make."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_symlink() or entry.is_file():
            entry.unlink(missing_ok=True)
        elif folder.name == "pg_wal":
            _empty(entry)
        else:
            shutil.rmtree(entry, ignore_errors=True)


def _write(path: Path, text: str, account: Account | None) -> None:
    path.write_text(text)
    path.chmod(0o600)
    give(path, account)
