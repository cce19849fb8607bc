"""Whatever a server does, nothing that speaks to it takes longer than it may, and no thread or connection is left."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from accessmgmt.domain.drift import DriftOrder
from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import RungState, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect import admin, diagnose, reach
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end import grants
from accessmgmt.provisioning.session import bounded, watchdog
from accessmgmt.provisioning.session.deadline import Budget
from devstack.certs import CertificateAuthority
from devstack.process import wait_until
from tests.limits import time_limit
from tests.orders import to_end
from tests.provisioning.conftest import INSTALLATION, new_order
from tests.rogue import AFTER_LOG_IN, BEFORE_LOG_IN, Rogue, asks_for_many_rounds, rogue

SECONDS = 1.0
SLACK_SECONDS = 120.0
"""A busy machine is slow; each of these servers would hold us for longer, most of them for ever."""


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reach, "TIMEOUT_SECONDS", SECONDS)
    monkeypatch.setattr(admin, "LONGEST_SECONDS", 2 * SECONDS)
    monkeypatch.setattr(grants, "BUDGET_SECONDS", 3 * SECONDS)
    monkeypatch.setattr(ladder, "BUDGET_SECONDS", 3 * SECONDS)
    yield
    close_pools()


@pytest.fixture
def tls(certificate_authority: CertificateAuthority, tmp_path: Path) -> ssl.SSLContext:
    """What a server needs to speak TLS."""
    certificate, key, _ = certificate_authority.server().write(tmp_path, "rogue")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def target_at(server: Rogue, **fields: object) -> Target:
    """Describe the server. Without a password it may let us in without a question."""
    facts = {
        "resource_id": 1,
        "name": f"rogue {server.port}",
        "host": "127.0.0.1",
        "port": server.port,
        "database_name": "shop",
        "username": "portal",
        "password": "",
        "ssl_mode": None,
    }
    return Target(**{**facts, **fields})  # type: ignore[arg-type]


def in_time(work: Mapping[str, Callable[[], object]]) -> dict[str, object]:
    """Do all of it side by side; return what each returns or raises. Fails when one does not come back."""
    outcomes: dict[str, object] = {}

    def run(name: str) -> None:
        try:
            outcomes[name] = work[name]()
        except Exception as error:
            outcomes[name] = error.with_traceback(None)

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in work]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 3 * SECONDS + SLACK_SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    late = set(work) - set(outcomes)
    assert not late, f"{late} hang"
    return outcomes


def looks(target: Target) -> dict[str, Callable[[], object]]:
    """Return everything that opens a conversation with a target."""
    order = new_order()
    wanted = DriftOrder(INSTALLATION, (order.set.permissions,), ())
    login = {"role": order.login.role_name, "password": "a-password"}
    return {
        "diagnosis": lambda: diagnose.diagnose(target, Budget(2 * SECONDS)),
        "handshake": lambda: diagnose.shake_hands(target, target.host),
        "sign-in over the wire": lambda: diagnose.try_log_in(target, target.host),
        "admin": lambda: admin.connect_admin(target, 2 * SECONDS),
        "login": lambda: admin.connect_login(target, **login, server_version=18, timeout_seconds=2 * SECONDS),
        "place": lambda: find_servers(replace(target, primary=target), 2 * SECONDS),
        "apply": lambda: apply_grant(target, order, budget_seconds=2 * SECONDS),
        "end": lambda: grants.end_grants(target, [to_end(order)]),
        "check": lambda: check_drift(target, wanted, budget_seconds=2 * SECONDS),
        "resync": lambda: resync_sets(target, INSTALLATION, [order.set.permissions], budget_seconds=2 * SECONDS),
        "ladder": lambda: [rung.state for rung in ladder.test_connection(target)],
    }


@pytest.mark.parametrize("name", BEFORE_LOG_IN)
def test_a_server_that_lets_nobody_in_holds_nobody(name: str, tls: ssl.SSLContext) -> None:
    with rogue(BEFORE_LOG_IN[name], context=tls) as server:
        outcomes = in_time(looks(target_at(server, password="the-password")))
        assert RungState.FAILED in outcomes.pop("ladder")  # type: ignore[operator]
        assert isinstance(outcomes.pop("end")[0], TargetError)  # type: ignore[index]
        for what in ("diagnosis", "admin", "login", "apply", "check", "resync"):
            assert isinstance(outcomes[what], TargetError), f"{what}: {outcomes[what]!r}"
        closed(server)


@pytest.mark.parametrize("name", AFTER_LOG_IN)
def test_a_server_that_never_comes_to_an_end_holds_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "MOST_RECEIVED_BYTES", 8 * 1024 * 1024)
    with rogue(AFTER_LOG_IN[name]) as server:
        outcomes = in_time(looks(target_at(server)))
        assert RungState.FAILED in outcomes.pop("ladder")  # type: ignore[operator]
        assert isinstance(outcomes.pop("end")[0], TargetError)  # type: ignore[index]
        for what in ("admin", "login", "apply", "check", "resync"):
            assert isinstance(outcomes[what], TargetError), f"{what}: {outcomes[what]!r}"
        close_pools()
        closed(server)


def closed(server: Rogue) -> None:
    """All connections to the server are closed, though it never asked for that."""
    wait_until(lambda: connections_to(server.port) == 0, timeout=SLACK_SECONDS, what="no connection is left")


def connections_to(port: int) -> int:
    """Count the sockets of this process that lead to a port, whatever the other side makes of it."""
    count = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            wire = socket.socket(fileno=int(entry.name))
            with suppress(OSError):
                count += wire.family is socket.AF_INET and wire.getpeername()[1] == port
            wire.detach()
    return count


def test_six_hosts_that_drop_packets_are_looked_at_and_given_up() -> None:
    """192.0.2.0/24 is for documentation: nobody is there; the network drops the packets, or says so at once."""
    hosts = ",".join(f"192.0.2.{number}" for number in range(1, 7))
    with rogue(BEFORE_LOG_IN["says_nothing"]) as server:
        target = target_at(server, host=hosts, name="six")
        with time_limit("looking at six hosts"):
            rungs = {rung.name: rung.state for rung in ladder.test_connection(target)}
            assert rungs["Port"] is RungState.FAILED
            with pytest.raises(TargetError):
                admin.connect_admin(target, 2 * SECONDS)


def test_a_host_of_a_list_that_drops_packets_keeps_nobody_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are knocked at side by side: the time of one is the time of all."""
    begun = threading.Barrier(6, timeout=SLACK_SECONDS)

    def meet(address: tuple[str, int], timeout: float) -> None:
        begun.wait()
        raise TimeoutError

    monkeypatch.setattr("accessmgmt.provisioning.connect.reach.socket.create_connection", meet)
    with rogue(BEFORE_LOG_IN["says_nothing"]) as server:
        hosts = ",".join(f"127.0.0.{number}" for number in range(1, 7))
        answers = reach.knock(target_at(server, host=hosts), Budget(SLACK_SECONDS))
    assert [type(answer) for answer in answers.values()] == [TimeoutError] * 6


def test_a_name_server_that_never_answers_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        is_over.wait()
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    try:
        with rogue(BEFORE_LOG_IN["says_nothing"]) as server:
            target = target_at(server, host="db.example.com")
            for _ in range(2):
                for what, outcome in in_time(looks(target)).items():
                    assert outcome, what
            kinds = [("resolve", "db.example.com"), ("log in", "db.example.com", server.port)]
            assert max(bounded.left_behind(kind) for kind in kinds) <= len(looks(target))
    finally:
        is_over.set()


def test_few_threads_are_left_behind_for_one_server() -> None:
    """libpq computes for long: nobody waits, and whoever comes next is not left behind as well."""
    with rogue(asks_for_many_rounds) as server:
        target = target_at(server, password="the-password")
        key = ("log in", "127.0.0.1", server.port)
        for _ in range(bounded.MOST_LEFT_BEHIND + 2):
            assert isinstance(in_time({"": lambda: admin.connect_admin(target, SECONDS)})[""], TargetError)
        assert bounded.left_behind(key) <= bounded.MOST_LEFT_BEHIND
