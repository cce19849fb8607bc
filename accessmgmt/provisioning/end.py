"""Takes one grant away from its target, and proves that nothing is left: the batch of one."""

from __future__ import annotations

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import EndReceipt, GrantOrder, Target
from accessmgmt.provisioning.end_batch import end_grants


def end_grant(target: Target, order: GrantOrder, *, longest_seconds: float | None = None) -> EndReceipt:
    """End a login: no log-in, no session, no role, on the primary and on the standby, and verify it.

    Every step reads before it writes: run it again from the top after any failure. A role that is absent is a success;
    sessions under `order.role_oid` are ended even then. A role without this grant's tag is never touched.

    Raises TargetUnavailable (try again; what could be done has been done) or TargetRefused (a person has to act).
    """
    outcome = end_grants(target, [order], longest_seconds=longest_seconds)[0]
    if isinstance(outcome, TargetError):
        raise outcome
    return outcome
