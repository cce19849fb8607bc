"""A whole installation whose parts are killed at random while people activate and release; seeded and bounded."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.demo_data import DATABASE
from devstack.paths import ROOT
from devstack.process import ProcessError
from devstack.stack import APPLICATION, SERVERS, Stack
from devstack.supervisor import Runnable
from tests.chaos.checker import Checker, Login, Verdict

CONVERGENCE_SECONDS = 90.0
LOOK_SECONDS = 1.0
ENVIRONMENT = {"PORTAL_SHORTEST_TTL_SECONDS": "2", "PORTAL_GRANTS_A_PERSON_AND_ENDPOINT": "1000"}


@dataclass(frozen=True)
class Pace:
    """How long a process lives before it is killed, and how long it stays away, at least and at most."""

    up: tuple[float, float]
    down: tuple[float, float]


VICTIMS = {
    "worker-ending": Pace(up=(4, 18), down=(0, 3)),
    "worker-applying": Pace(up=(4, 18), down=(0, 3)),
    "worker-drift": Pace(up=(4, 18), down=(0, 4)),
    "worker-looks": Pace(up=(4, 18), down=(0, 4)),
    "worker-upkeep": Pace(up=(4, 18), down=(0, 4)),
    "beat": Pace(up=(4, 18), down=(0, 4)),
    "redis": Pace(up=(4, 20), down=(0, 5)),
    "postgres-primary": Pace(up=(5, 20), down=(0, 5)),
    "postgres-standby": Pace(up=(5, 25), down=(0, 5)),
    "postgres-portal": Pace(up=(5, 20), down=(0, 5)),
}


@dataclass
class Outcome:
    """What was done to the installation, and what is left."""

    kills: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    people: dict[str, int] = field(default_factory=dict)
    converged_s: float = 0.0
    verdict: Verdict | None = None


@dataclass
class Storm:
    """`run` may be called once; afterwards everything stands, for whoever wants to look."""

    stack: Stack
    outcome: Outcome

    def checker(self) -> Checker:
        """Return the judge."""
        return Checker(
            portal=self.stack.portal_server.dsn("portal"),
            primary=self.stack.primary.dsn(DATABASE),
            standby=self.stack.standby.dsn(DATABASE),
        )

    def run(self, *, count: int, seconds: float, seed: int) -> Outcome:
        """Let `count` grants live through `seconds` of kills; start everything again, wait until all is settled."""
        driver = self._start_driver(count=count, seconds=seconds, seed=seed)
        try:
            self._rage(seconds, seed)
            self._calm()
            assert driver.stdout is not None
            told = json.loads(driver.stdout.readline() or "null")
            if told is None:
                raise RuntimeError(f"the people's process ended with {driver.wait()}")
            self.outcome.people = told["counts"]
            self.outcome.verdict = self._settle([Login(*login) for login in told["logins"]])
        finally:
            driver.kill()
            driver.communicate()
        return self.outcome

    def _start_driver(self, **arguments: float) -> subprocess.Popen[str]:
        environment = {**os.environ, **self.stack.environment(), "PORTAL_LOG_LEVEL": "CRITICAL"}
        argv = [sys.executable, "-m", "tests.chaos.driver", json.dumps(arguments)]
        driver = subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert driver.stdout is not None
        if driver.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the people's process ended with {driver.wait()}")
        return driver

    def _rage(self, seconds: float, seed: int) -> None:
        """Kill and start, each process at a pace of its own; start again what dies by itself, as any host does."""
        is_over = threading.Event()
        with ThreadPoolExecutor(len(VICTIMS)) as pool:
            torments = [
                pool.submit(self._torment, name, pace, random.Random(f"{seed} {name}"), is_over)
                for name, pace in VICTIMS.items()
            ]
            until = time.monotonic() + seconds
            try:
                while time.monotonic() < until:
                    time.sleep(LOOK_SECONDS)
                    self.stack.supervisor.look()
            finally:
                is_over.set()
            for torment in torments:
                torment.result()

    def _torment(self, name: str, pace: Pace, chance: random.Random, is_over: threading.Event) -> None:
        is_first = True
        while not is_over.wait(chance.uniform(0.5 if is_first else pace.up[0], pace.up[1])):
            is_first = False
            self.stack.kill(name)
            self.outcome.kills[name] += 1
            is_over.wait(chance.uniform(*pace.down))
            try:
                self.stack.supervisor.start(name)
            except ProcessError as error:
                self.outcome.told.append(f"{name} did not start in the storm: {error}")
                self.stack.kill(name)

    def _calm(self) -> None:
        """Start everything that does not run, the servers first, and wait until the workers take tasks."""
        for name in (*SERVERS, *APPLICATION):
            if name != "web" and not self._process(name).is_running:
                self.stack.kill(name)
                self.stack.start_process(name)

    def _process(self, name: str) -> Runnable:
        return self.stack.supervisor[name]

    def _settle(self, logins: list[Login]) -> Verdict:
        """Look until all is clean and every short grant is over, for a bounded time; then try every password."""
        began = time.monotonic()
        checker = self.checker()
        while time.monotonic() < began + CONVERGENCE_SECONDS:
            verdict = checker.look()
            if verdict.is_clean and not verdict.soon_over:
                break
            self.stack.supervisor.look()
            time.sleep(LOOK_SECONDS)
        self.outcome.converged_s = time.monotonic() - began
        return checker.look(logins)


@contextmanager
def installation(directory: Path) -> Iterator[Storm]:
    """Run an installation of its own in a folder, without web server: portal, queue, target and its replica."""
    outcome = Outcome()
    with Stack(directory, fixed_ports=False, extra_environment=ENVIRONMENT, say=outcome.told.append) as stack:
        stack.stop_process("web")
        with stack.primary.connect() as conn:
            conn.execute("ALTER ROLE jit_login_a CONNECTION LIMIT 100")
        yield Storm(stack, outcome)
