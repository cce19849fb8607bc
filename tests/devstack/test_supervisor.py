"""The supervisor starts again what died by itself, and leaves alone what was stopped on purpose."""

import os
import signal
from collections.abc import Iterator

import pytest

from devstack.process import ChildProcess, wait_until
from devstack.supervisor import Supervisor


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path, said) -> Iterator[Supervisor]:
    watching = Supervisor(said.append)
    watching.add("sleeper", ChildProcess("sleeper", ["sh", "-c", "echo good night; exec sleep 600"], tmp_path / "log"))
    yield watching
    watching.stop("sleeper")


def look_until(supervisor: Supervisor, condition) -> None:
    def looked() -> bool:
        supervisor.look()
        return condition()

    wait_until(looked, timeout=60, what="the supervisor has acted")


def test_what_dies_is_started_again_and_its_log_shown(supervisor, said):
    process = supervisor["sleeper"]
    wait_until(lambda: "good night" in process.log_tail(), timeout=60, what="it has written")
    first = process.pid
    os.kill(first, signal.SIGKILL)
    look_until(supervisor, lambda: process.is_running and process.pid != first)
    assert said[0].startswith("sleeper died")
    assert "good night" in said[1]
    assert said[-1] == "sleeper runs again"


def test_what_was_killed_on_purpose_stays_away(supervisor, said):
    supervisor.kill("sleeper")
    supervisor.look()
    assert not supervisor["sleeper"].is_running
    assert said == []
    supervisor.start("sleeper")
    assert supervisor["sleeper"].is_running


def test_waits_longer_after_each_death(supervisor, said):
    for _ in range(2):
        pid = supervisor["sleeper"].pid
        os.kill(pid, signal.SIGKILL)
        look_until(supervisor, lambda pid=pid: supervisor["sleeper"].pid != pid)
    deaths = [line for line in said if "died" in line]
    assert "0.5 s" in deaths[0]
    assert "1 s" in deaths[1]
