"""The portal's models in a process of the bench, on the database of a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from devstack.paths import ROOT
from devstack.stack import Stack


@dataclass(frozen=True)
class Portal:
    """Runs functions of tests.bench.inside in a process that has the stack's environment."""

    environment: dict[str, str]

    def call(self, name: str, **arguments: Any) -> Any:
        """Call a function with JSON-able arguments and return its JSON-able result."""
        return self.result(self.start(name, **arguments))

    def start(self, name: str, **arguments: Any) -> subprocess.Popen[str]:
        """Begin a call; `result` waits for it."""
        argv = [sys.executable, "-m", "tests.bench.inside", name, json.dumps(arguments)]
        return subprocess.Popen(argv, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True)

    def wait_for_line(self, calling: subprocess.Popen[str], line: str) -> None:
        """Wait until a call prints a line."""
        assert calling.stdout is not None
        for text in calling.stdout:
            if text.strip() == line:
                return
        raise RuntimeError(f"the call ended with {calling.wait()} before it said {line!r}")

    def result(self, calling: subprocess.Popen[str]) -> Any:
        """Wait for a call, and return what its last line holds."""
        out, _ = calling.communicate()
        if calling.returncode != 0:
            raise RuntimeError(f"the call ended with {calling.returncode}")
        return json.loads(out.splitlines()[-1])


def portal_of(stack: Stack) -> Portal:
    """Return the portal of a running stack."""
    return Portal({**os.environ, **stack.environment(), "PORTAL_LOG_LEVEL": "ERROR"})
