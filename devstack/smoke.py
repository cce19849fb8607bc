"""`make smoke`: the whole product on free ports, its story end to end, and nothing left behind."""

import shutil
import signal
import sys
from types import FrameType

from devstack.paths import ROOT
from devstack.process import ProcessError
from devstack.reporter import Reporter
from devstack.stack import Stack, StackError
from devstack.story import tell

STATE = ROOT / ".smoke"


class Interrupted(BaseException):
    """SIGINT or SIGTERM came."""


def main() -> int:
    """Run the story; return an exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    reporter = Reporter()
    environment = {"PORTAL_SHORTEST_TTL_SECONDS": "2"}  # the story waits for a time to live to run out
    stack = Stack(STATE, fixed_ports=False, extra_environment=environment, say=reporter.say)
    is_good = False
    try:
        _run(stack, reporter)
        is_good = True
    except StackError as error:
        reporter.say(str(error))
    except Interrupted:
        reporter.say("interrupted")
    except Exception:
        _show_logs(stack, reporter)
        sys.excepthook(*sys.exc_info())  # the runner still has to tidy up
    finally:
        is_clean = _tidy(stack, reporter)
    verdict = "passed" if is_good and is_clean else "FAILED"
    reporter.say(f"smoke {verdict}: {reporter.steps} steps in {reporter.seconds:.1f} s")
    return 0 if is_good and is_clean else 1


def _run(stack: Stack, reporter: Reporter) -> None:
    with reporter.step("prepare an empty folder"):
        stack.prepare()
        stack.wipe()
    with reporter.step("start PostgreSQL, its replica, the portal's own and Redis"):
        stack.start_servers()
    with reporter.step("bring the portal's schema up to date"):
        stack.migrate()
    with reporter.step("load people and connection facts"):
        stack.seed()
    with reporter.step("start web server, workers and clock"):
        stack.start_application()
        stack.wait_ready()
    tell(stack, reporter.step)


def _tidy(stack: Stack, reporter: Reporter) -> bool:
    """Stop everything, see that it is gone, remove the files; return whether it all went as it should."""
    if not stack.is_prepared:
        return True  # another run has the folder
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        with reporter.step("stop everything, and nothing is left"):
            stack.stop_all()
            left = stack.left_processes()
            stack.end_leftovers()
            if left:
                raise ProcessError(f"left behind: {', '.join(str(process.pid) for process in left)}")
            shutil.rmtree(STATE)
    except (ProcessError, OSError) as error:
        reporter.say(str(error))
        return False
    finally:
        stack.release()
    return True


def _show_logs(stack: Stack, reporter: Reporter) -> None:
    for name in stack.supervisor:
        reporter.say(f"--- {name}\n{stack.supervisor[name].log_tail(40)}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
