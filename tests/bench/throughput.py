"""How many grants one worker with four processes applies in a second, on the whole stack."""

from __future__ import annotations

import shutil

from devstack.stack import Stack
from tests.bench.engine import BENCH
from tests.bench.portal import portal_of

WARM_UP, COUNT = 40, 600
LATEST_SECONDS = 120.0


def measure() -> dict[str, float]:
    """Return grants a second from the first claim to the last grant that is active; all were queued by the service."""
    shutil.rmtree(BENCH / "stack", ignore_errors=True)
    with Stack(BENCH / "stack", fixed_ports=False, say=lambda _: None) as stack:
        with stack.primary.connect() as conn:
            conn.execute("ALTER ROLE jit_login_a CONNECTION LIMIT 100")
        portal = portal_of(stack)
        portal.call("queue_and_wait", count=WARM_UP, latest_seconds=LATEST_SECONDS)
        stack.stop_process("worker-applying")
        # Queued while nobody works: what is measured is the worker, not the one who queues.
        calling = portal.start("queue_and_wait", count=COUNT, latest_seconds=LATEST_SECONDS)
        portal.wait_for_line(calling, "queued")
        stack.start_process("worker-applying")
        seconds = portal.result(calling)["seconds"]
    return {"grants_per_s_one_worker": COUNT / seconds}
