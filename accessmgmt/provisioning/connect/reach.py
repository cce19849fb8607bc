"""Which hosts of a target have an address, and at which of them somebody answers: all looked at side by side."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.session.bounded import Pending, Result
from accessmgmt.provisioning.session.deadline import Budget

TIMEOUT_SECONDS = 5.0
AT_ONCE = 16


def hosts_of(target: Target) -> list[str]:
    """Return the hosts of a target; several are separated by commas."""
    return [host.strip() for host in target.host.split(",") if host.strip()]


def resolve_host(target: Target, budget: Budget | None = None) -> dict[str, list[str]]:
    """Return the addresses of each host that resolves. Raises TargetUnavailable when none does in time."""

    def look_up(host: str) -> list[str]:
        answers = socket.getaddrinfo(host, target.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    answers = _ask_each("resolve", hosts_of(target), look_up, in_time(budget))
    found = {host: answer for host, answer in answers.items() if isinstance(answer, list)}
    if not found:
        is_late = any(isinstance(answer, TimeoutError) for answer in answers.values())
        raise TargetUnavailable(
            f"The host name “{target.host}” of “{target.name}” cannot be resolved.",
            why="The name server does not answer in time." if is_late else "The name server knows no address of it.",
            todo=f"Correct the host in the resource, or look it up from a worker: getent hosts {target.host}",
        )
    return found


def reach_port(target: Target, budget: Budget | None = None) -> str:
    """Return the first host whose port answers. Raises TargetUnavailable."""
    return reach_ports(target, budget)[0]


def reach_ports(target: Target, budget: Budget | None = None) -> list[str]:
    """Return every host whose port answers, all asked at the same time. Raises TargetUnavailable when none does."""
    budget = in_time(budget)
    resolve_host(target, budget)
    answers = knock(target, budget)
    if answering := [host for host, failure in answers.items() if failure is None]:
        return answering
    raise unreachable(target, list(answers.values())[-1], budget)


def knock(target: Target, budget: Budget) -> dict[str, OSError | None]:
    """Try the port of each host, all at the same time; map each host to None where it answers, or to what failed."""

    def try_port(host: str) -> None:
        socket.create_connection((host, target.port), timeout=budget.check()).close()

    return _ask_each("knock", hosts_of(target), try_port, budget)


def _ask_each(
    what: str, hosts: Sequence[str], ask: Callable[[str], Result], budget: Budget
) -> dict[str, Result | OSError]:
    """Ask about each host in threads of their own, a few at once; return the answers, or why there is none."""
    found: dict[str, Result | OSError] = {}
    for some in (hosts[first : first + AT_ONCE] for first in range(0, len(hosts), AT_ONCE)):
        pending = {host: Pending((what, host), partial(ask, host)) for host in some}
        for host, waited_for in pending.items():
            try:
                found[host] = waited_for.result(budget.remaining_seconds)
            except OSError as error:
                found[host] = error
            except UnicodeError as error:
                found[host] = OSError(str(error))
            except TargetError:
                found[host] = TimeoutError()
    return found


def in_time(budget: Budget | None) -> Budget:
    """Return TIMEOUT_SECONDS, or what is left of a budget when that is less."""
    return budget.part(TIMEOUT_SECONDS) if budget else Budget(TIMEOUT_SECONDS)


def unreachable(target: Target, failure: OSError | None, budget: Budget) -> TargetUnavailable:
    """Say why nothing answers; `budget` is the time that was waited."""
    where = f"{target.host} port {target.port}"
    if isinstance(failure, ConnectionRefusedError):
        return TargetUnavailable(
            f"Nothing listens at {where}.",
            why="The connection was refused.",
            todo="Start PostgreSQL there, let it listen on this address (listen_addresses), or correct the port.",
        )
    if isinstance(failure, TimeoutError):
        return TargetUnavailable(
            f"No answer from {where} within {budget.seconds:.2g} seconds.",
            why="Usually a firewall or a security group drops the packets.",
            todo=f"Allow TCP {target.port} from the portal's workers: nc -vz {target.host} {target.port}",
        )
    return TargetUnavailable(
        f"{where} cannot be reached.",
        why=failure.strerror or type(failure).__name__ if failure else "",
        todo=f"Look at the route from the portal's workers: nc -vz {target.host} {target.port}",
    )
