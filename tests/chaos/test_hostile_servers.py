"""Five servers that drip, a forged tag and a flood of long headers: a healthy server's grants begin and end as always.

Everything runs as it does in the demo: the web server, the workers and the clock, as processes of their own, with the
demo's commands. Times are those that the portal itself recorded, held against those of a quiet moment on the same
machine just before and just after: what a busy machine costs is in all three.
"""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.test import Client
from django.utils import timezone
from psycopg import sql

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import AuditEvent, Endpoint, Grant, TargetLook, User
from accessmgmt.services.audit import trail
from accessmgmt.services.grants.activate import activate_endpoint
from accessmgmt.services.grants.stop import begin_end
from accessmgmt.services.installation import is_observing
from devstack.ports import free_port
from devstack.postgres import PostgresServer
from devstack.process import ChildProcess, wait_until
from devstack.stack import Stack
from tests import factories
from tests.chaos import workers
from tests.rogue import (
    Rogue,
    drips_a_question,
    drips_a_row,
    drips_an_error,
    drips_in_the_handshake,
    never_answers_a_statement,
    rogue,
)
from tests.targets import make_target

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos]
HOSTILE = (drips_an_error, drips_in_the_handshake, drips_a_question, drips_a_row, never_answers_a_statement)
DELAY_SECONDS = 20.0  # whoever waits for hostile servers waits for many tries on them, up to 45 s each
ANSWER_SECONDS = 15.0  # less than servers like these would hold a thread of the web server
PATIENCE_SECONDS = 180
PAUSE_SECONDS = 0.5
STUCK = 12  # grants that begin, and grants that end, on each hostile server
TESTS, FLOOD = 20, 6
LONG = "a" * 8_000
CSRF = "c" * 32


@dataclass
class Installation:
    """The processes of a whole installation but for its servers, and a resource that works."""

    web_port: int
    processes: dict[str, ChildProcess]
    endpoint: Endpoint
    people: Iterator[User]
    answers: list[float] = field(default_factory=list)

    def begin(self) -> Grant:
        """Let somebody activate the endpoint, and wait until the access is active."""
        grant = activate_endpoint(actor=next(self.people), endpoint=self.endpoint)
        wait_until(Grant.objects.active().filter(pk=grant.pk).exists, timeout=PATIENCE_SECONDS, what="it is active")
        grant.refresh_from_db()
        return grant

    def end(self, grant: Grant) -> Grant:
        """End it, and wait until that is proved."""
        begin_end(actor=None, grant_id=grant.pk, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)
        ended = Grant.objects.filter(pk=grant.pk, state=GrantState.ENDED)
        wait_until(ended.exists, timeout=PATIENCE_SECONDS, what="it is ended")
        grant.refresh_from_db()
        return grant

    def lags(self, count: int) -> tuple[list[float], list[float]]:
        """Let so many grants begin and end, one after the other; return how long each took, as the portal recorded."""
        begins, ends = [], []
        for _ in range(count):
            grant = self.end(self.begin())
            assert grant.active_at is not None
            assert grant.ended_at is not None
            assert grant.end_requested_at is not None
            begins.append((grant.active_at - grant.queued_at).total_seconds())
            ends.append((grant.ended_at - grant.end_requested_at).total_seconds())
        return begins, ends

    def request(self, method: str, path: str, body: str = "", **headers: str) -> int:
        """Ask the web server; return the status of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=PATIENCE_SECONDS)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in {**headers, **({"Content-Length": str(len(body))} if body else {})}.items():
                connection.putheader(name, value)
            connection.endheaders(body.encode() if body else None)
            return connection.getresponse().status
        finally:
            connection.close()

    def is_live(self) -> bool:
        """Ask the health check, and remember how long the answer took."""
        began = time.monotonic()
        with suppress(OSError):
            if self.request("GET", "/health/live") == 200:
                self.answers.append(time.monotonic() - began)
                return True
        return False


@pytest.fixture
def healthy(target_server: Callable[[int], PostgresServer]) -> Endpoint:
    """An endpoint of a resource that works."""
    return factories.make_endpoint(resource=factories.make_resource(**make_target(target_server(18))))


@pytest.fixture
def installation(healthy: Endpoint, tmp_path: Path) -> Iterator[Installation]:
    """An installation that runs."""
    redis.Redis.from_url(settings.REDIS_URL).flushall()
    people = [factories.make_user() for _ in range(40)]
    factories.make_group(members=people, endpoints=[healthy])
    stack = Stack(tmp_path, fixed_ports=False)
    stack.web_port = free_port()
    processes = {
        name: ChildProcess(
            name,
            [sys.executable, "-m", *command],
            tmp_path / f"{name}.log",
            env=workers.environment(),
            cwd=workers.ROOT,
        )
        for name, command in stack._commands().items()
    }
    made = Installation(stack.web_port, processes, healthy, itertools.cycle(people))
    with workers.running(*processes.values()):
        for name, process in processes.items():
            if name.startswith("worker-"):
                process.wait_ready(lambda p=process: " ready." in p.log_since_start(), timeout=PATIENCE_SECONDS)  # type: ignore[misc]
        processes["web"].wait_ready(made.is_live, timeout=PATIENCE_SECONDS)
        yield made


def give_it_work(server: Rogue) -> int:
    """Let much wait for a hostile server: to begin, to end, to be compared; return the resource's key."""
    resource = factories.make_resource(host="127.0.0.1", port=server.port, password="")
    endpoint = factories.make_endpoint(resource=resource)
    for _ in range(STUCK):
        factories.make_grant("queued", endpoint=endpoint, next_attempt_at=timezone.now())
        factories.make_grant("ending", endpoint=endpoint, next_attempt_at=timezone.now())
    waking.wake(waking.Task.CHECK_DRIFT, resource.pk)
    waking.wake(waking.Task.RESYNC_RESOURCE, resource.pk)
    return resource.pk


def forge_a_tag(server: PostgresServer, grant: Grant) -> str:
    """Read the comment of a role of ours, and write one like it on a role of one's own, as CREATEROLE lets anybody."""
    name = "jit_mallory_0123456789"
    with server.connect() as conn:
        query = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s"
        row = conn.execute(query, [grant.role_name]).fetchone()
        assert row is not None
        tag = row[0].replace(str(grant.pk), "00000000-0000-4000-8000-000000000000")
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        conn.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(name), sql.Literal(tag)))
    return name


@contextmanager
def many(count: int, work: Callable[[int], object]) -> Iterator[None]:
    """Do something again and again in so many threads, with a pause in between, until the block is over."""
    is_over = threading.Event()

    def repeat(number: int) -> None:
        while not is_over.is_set():
            with suppress(OSError, http.client.HTTPException):
                work(number)
            is_over.wait(PAUSE_SECONDS)

    threads = [threading.Thread(target=repeat, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()


def long_request(installation: Installation, number: int) -> int:
    """Send what is too long, in one of the places where something reads it."""
    kinds: list[tuple[str, dict[str, str]]] = [
        ("/health/live", {"Host": LONG}),
        ("/login/", {"Origin": f"https://{LONG[:7_000]}"}),
        (f"/{LONG[:3_900]}", {}),
    ]
    path, headers = kinds[number % len(kinds)]
    return installation.request("GET", path, **headers)


def cookies_of(admin: User) -> str:
    client = Client()
    client.force_login(admin)
    return f"sessionid={client.cookies['sessionid'].value}; csrftoken={CSRF}"


def test_hostile_servers_and_strangers_delay_no_access_elsewhere(
    installation: Installation, target_server: Callable[[int], PostgresServer], dave: User
) -> None:
    cookies, tests, flood = cookies_of(dave), Counter[int](), Counter[int]()
    begins_before, ends_before = installation.lags(4)
    with ExitStack() as storm:
        servers = [storm.enter_context(rogue(behaviour)) for behaviour in HOSTILE]
        forged = forge_a_tag(target_server(18), installation.begin())
        resources = [give_it_work(server) for server in servers]
        waking.wake(waking.Task.CHECK_DRIFT, installation.endpoint.resource_id)

        def test_a_connection(number: int) -> None:
            body = f"csrfmiddlewaretoken={CSRF}"
            form = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
            path = f"/resources/{resources[number % len(resources)]}/test"
            tests[installation.request("POST", path, body, **form)] += 1

        wait_until(lambda: all(s.talks for s in servers), timeout=PATIENCE_SECONDS, what="all five hold somebody")
        storm.enter_context(many(TESTS, test_a_connection))
        storm.enter_context(many(FLOOD, lambda number: flood.update([long_request(installation, number)])))
        installation.answers.clear()
        storm.enter_context(many(1, lambda _: installation.is_live()))
        begins, ends = installation.lags(8)
        event = trail.record(dave, Action.ENDPOINT_UPDATED, installation.endpoint)
        sealed_after = sealing(event.pk)
        assert all(server.taken for server in servers)
        held = [server.most for server in servers]
    begins_after, ends_after = installation.lags(4)
    with target_server(18).connect() as conn:
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(forged)))

    assert not is_observing()
    usual = max(*ends_before, *ends_after)
    assert max(ends) < DELAY_SECONDS + usual, f"{ends} against {ends_before} and {ends_after}"
    usual = max(*begins_before, *begins_after)
    assert max(begins) < DELAY_SECONDS + usual, f"{begins} against {begins_before} and {begins_after}"
    assert sealed_after < DELAY_SECONDS + usual
    assert set(tests) == {302}, tests
    looks = TargetLook.objects.filter(resource__in=resources)
    assert set(looks.values_list("resource", flat=True)) == set(resources), "each waits for a worker, not in the web"
    assert set(flood) == {400, 414, 431}, flood
    assert max(installation.answers) < ANSWER_SECONDS + usual, installation.answers
    assert max(held) <= 30, f"connections at a time: {held}"


def sealing(pk: int) -> float:
    """Return how long it takes until an event is sealed."""
    began = time.monotonic()
    sealed = AuditEvent.objects.filter(pk=pk, seal__isnull=False)
    wait_until(sealed.exists, timeout=PATIENCE_SECONDS, what="it is sealed")
    return time.monotonic() - began
