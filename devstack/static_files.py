"""The static files as `manage.py collectstatic` makes them, kept below .cache/ by a hash of what they are made of."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devstack.paths import CACHE, REQUIREMENTS, ROOT

FOLDER = CACHE / "static"
KEPT = 4  # earlier ones may still be served by a demo that runs

# Values for a command that only reads the settings; nothing connects to them.
READ_SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "portal.settings",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PORTAL_SECRET_KEY": "collect-static",
    "PORTAL_ENCRYPTION_KEYS": "none",
    "PORTAL_INSTALLATION_ID": "collect-static",
}


def collect_static_files() -> Path:
    """Return the folder for PORTAL_STATIC_ROOT; it is made when it is not there. Safe in several processes at once."""
    folder = FOLDER / _hash_of_sources()
    if not folder.is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="making-", dir=FOLDER))
        environment = {**os.environ, **READ_SETTINGS, "PORTAL_STATIC_ROOT": str(made)}
        command = [sys.executable, str(ROOT / "manage.py"), "collectstatic", "--noinput", "--verbosity=0"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(made)
            raise RuntimeError(f"manage.py collectstatic failed:\n{done.stdout}{done.stderr}")
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(made)
        _forget_old(folder)
    return folder


def _hash_of_sources() -> str:
    """Return a hash of everything that the collected files depend on."""
    sources = [
        *(path for path in (ROOT / "static").rglob("*") if path.is_file()),
        ROOT / "portal" / "assets.py",
        ROOT / "portal" / "settings.py",
        ROOT / "package-lock.json",
        REQUIREMENTS / "production.txt",
    ]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _forget_old(newest: Path) -> None:
    finished = [path for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("making-")]
    by_age = sorted((path for path in finished if path != newest), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
