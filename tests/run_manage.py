"""Runs manage.py on a database of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_manage(*arguments: str, url: str, owner_url: str = "", **variables: str) -> str:
    """Run manage.py as the role of `url`, and migrate as that of `owner_url`; return all that it said."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": url,
        "PORTAL_OWNER_DATABASE_URL": owner_url,
        **variables,
    }
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
