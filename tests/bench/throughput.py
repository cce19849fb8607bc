"""How many grants one worker with its threads applies in a second, on the whole stack.

`grants_per_s_vs_bare_sql` compares that with one connection on the same server which makes logins by hand, one after
the other: verifier, CREATE ROLE and GRANT in one transaction, no sign-in, no check, nothing recorded.
"""

from __future__ import annotations

import shutil
import time

from devstack.stack import Stack
from tests.bench.engine import BENCH, new_order
from tests.bench.portal import portal_of
from tests.bench.small import create

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
        bare_seconds = make_by_hand(stack)
    ours, bare = COUNT / seconds, COUNT / bare_seconds
    return {
        "grants_per_s_one_worker": ours,
        "grants_per_s_bare_sql": bare,
        "grants_per_s_vs_bare_sql": ours / bare,
    }


def make_by_hand(stack: Stack) -> float:
    """Return the seconds that COUNT logins take by hand, as the admin role."""
    with stack.primary.connect("production") as conn:
        conn.execute("SET ROLE jit_portal")
        conn.execute("CREATE ROLE bench_by_hand NOLOGIN")
        began = time.perf_counter()
        for _ in range(COUNT):
            create(conn, new_order(), "bench_by_hand")
        return time.perf_counter() - began
