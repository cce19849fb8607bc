"""Every task has a queue, and the workers of the demo, of docker compose and of the documentation serve each once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import yaml
from celery import current_app

from accessmgmt import tasks
from accessmgmt.outbox import Task
from devstack.paths import ROOT
from devstack.stack import APPLICATION, Stack

ROUTES = {name: route["queue"] for name, route in current_app.conf.task_routes.items()}
QUEUES = {queue.name for queue in current_app.conf.task_queues}


def queues_of(command: Sequence[str]) -> frozenset[str]:
    """Return the queues that a worker's command names."""
    return frozenset(command[command.index("-Q") + 1].split(","))


def demo_workers(tmp_path: Path) -> list[frozenset[str]]:
    stack = Stack(tmp_path, fixed_ports=False)
    stack.web_port = 1
    commands = stack._commands()
    assert tuple(commands) == APPLICATION
    return [queues_of(command) for command in commands.values() if "worker" in command]


def compose_workers() -> list[frozenset[str]]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    return [queues_of(service["command"]) for service in services if "worker" in service.get("command", [])]


def documented_workers() -> list[frozenset[str]]:
    text = (ROOT / "docs" / "operations.md").read_text()
    return [frozenset(names.split(",")) for names in re.findall(r"`celery -A portal worker -Q (\S+?)[ `]", text)]


def test_every_task_has_a_route() -> None:
    ours = {name for name in current_app.tasks if name.startswith(f"{tasks.__name__}.")}
    assert ours == set(ROUTES)
    assert {str(task) for task in Task} <= ours
    assert {entry["task"] for entry in current_app.conf.beat_schedule.values()} <= ours
    assert set(ROUTES.values()) == QUEUES


def test_every_queue_has_one_worker_everywhere(tmp_path: Path) -> None:
    documented = documented_workers()
    assert served_once(documented)
    assert Counter(demo_workers(tmp_path)) == Counter(documented)
    assert Counter(compose_workers()) == Counter(documented)


def served_once(workers: Iterable[frozenset[str]]) -> bool:
    return Counter(name for queues in workers for name in queues) == Counter(QUEUES)


@pytest.mark.parametrize("task", [Task.CHECK_DRIFT, Task.RESYNC_RESOURCE])
def test_a_slow_look_at_a_target_delays_neither_giving_nor_taking_access(task: Task) -> None:
    (worker,) = [queues for queues in documented_workers() if ROUTES[str(task)] in queues]
    urgent = {Task.APPLY_GRANT, Task.END_GRANTS_OF, Task.HELP_END_GRANTS_OF}
    assert worker.isdisjoint({"sweep", *(ROUTES[str(name)] for name in urgent)})
