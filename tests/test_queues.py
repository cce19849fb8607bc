"""Every task has a queue, and the workers of the demo, of docker compose and of the documentation serve each once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import yaml
from celery import current_app
from django.conf import settings

from accessmgmt import tasks
from accessmgmt.waking import Task
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


TARGETS = {task: ROUTES[str(task)] for task in Task}


def test_every_woken_task_speaks_to_targets() -> None:
    """So what follows is about all of them: a task that speaks to a target is woken with a key by waking.py."""
    assert set(ROUTES.values()) - set(TARGETS.values()) == {"sweep", "default"}


@pytest.mark.parametrize("queue", sorted({"sweep", "default"}))
def test_what_speaks_to_no_target_never_waits_for_one(queue: str) -> None:
    """Grants end on time, and the trail is sealed, whatever any server does."""
    (worker,) = [queues for queues in documented_workers() if queue in queues]
    assert worker.isdisjoint(TARGETS.values())


@pytest.mark.parametrize("queue", sorted(set(TARGETS.values())))
def test_taking_giving_and_looking_at_targets_do_not_wait_for_each_other(queue: str) -> None:
    assert frozenset({queue}) in documented_workers()


def test_more_servers_may_hang_than_are_tried_at_the_same_time(tmp_path: Path) -> None:
    """Of the threads that end grants some are left when as many silent servers are tried as may be."""
    stack = Stack(tmp_path, fixed_ports=False)
    stack.web_port = 1
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    commands = [*stack._commands().values(), *(service.get("command", []) for service in composed)]
    ending = [command for command in commands if "worker" in command and "ending" in queues_of(command)]
    assert len(ending) == 2
    for command in ending:
        assert "--pool=threads" in command
        assert int(command[command.index("-c") + 1]) >= 1.5 * settings.PORTAL_SILENT_RESOURCES_AT_ONCE


def test_ways_are_kept_open_where_grants_are_ended() -> None:
    """A connection that another process holds is of no use to an ending that a full server does not let in."""
    assert ROUTES["accessmgmt.tasks.keep_ways_open"] == ROUTES[str(Task.END_GRANTS_OF)]
