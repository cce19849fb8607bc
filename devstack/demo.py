"""`make demo`: the whole product with data to play with, kept in .demo/; Ctrl-C ends all of it."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

from devstack.paths import ROOT
from devstack.people import PEOPLE
from devstack.ports import is_free
from devstack.process import ProcessError
from devstack.stack import Stack, StackError

STATE = ROOT / ".demo"
LOOK_SECONDS = 0.25


def main() -> int:
    """Start, watch until told to stop, stop; return an exit status."""
    stopping = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            print("stopping already, one moment", flush=True)
            return
        stopping.set()
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    try:
        port = int(os.environ.get("PORT", "8000"))
    except ValueError:
        print("PORT must be a number: make demo PORT=8001", file=sys.stderr)
        return 1
    stack = Stack(STATE, fixed_ports=True, port=port)
    try:
        _start(stack, port)
        _watch(stack)
    except (StackError, ProcessError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("\nstopping ...", flush=True)
        return 0
    finally:
        stopping.set()
        if stack.is_prepared:
            stack.stop()
            print("all stopped; the data stays in .demo/", flush=True)


class Interrupted(BaseException):
    """SIGINT or SIGTERM came."""


def _start(stack: Stack, port: int) -> None:
    began = time.monotonic()
    stack.prepare()
    if not is_free(port):
        raise StackError(f"Port {port} is taken. Choose another one: make demo PORT={port + 1}")
    for text, start in (
        ("PostgreSQL, its replica, AWS Secrets Manager, the portal's own PostgreSQL, Redis", stack.start_servers),
        ("the portal's tables", stack.migrate),
        ("people and connections", stack.seed),
        ("web server, workers, clock", stack.start_application),
        ("until all of them answer", stack.wait_ready),
    ):
        print(f"  {text} ...", end=" ", flush=True)
        since = time.monotonic()
        start()
        print(f"{time.monotonic() - since:.1f} s", flush=True)
    print(_welcome(stack, time.monotonic() - began), flush=True)


def _watch(stack: Stack) -> NoReturn:
    """Start again what dies, until a signal comes."""
    while True:
        stack.supervisor.look()
        time.sleep(LOOK_SECONDS)


def _welcome(stack: Stack, seconds: float) -> str:
    """Return what is printed when all is up."""
    rows = [(person.email, person.name, person.part) for person in PEOPLE]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    people = "\n".join(f"    {email:{widths[0]}}  {name:{widths[1]}}  {part}" for email, name, part in rows)
    return f"""
  The portal is ready after {seconds:.0f} s:  http://127.0.0.1:{stack.web_port}/

  Sign in as                                                    password (all): {stack.state.people_password}
{people}

  Target `production`: localhost:{stack.primary.port}, replica localhost:{stack.standby.port} (TLS)
  Its credentials are in AWS Secrets Manager, played by moto: {stack.secrets_manager.url}
  Logs: .demo/logs/        Start anew: remove .demo/        Ctrl-C stops everything
"""


if __name__ == "__main__":
    sys.exit(main())
