"""The moves of a grant from state to state: where each begins, and all that it writes. Nothing else writes a state.

    queued -> applying -> active -> ending -> ended
                 +-> failed

An ending may begin in any state before it. A move that is made for several rows at once writes the same fields as one
that is made for a row that its caller has locked. The caller audits it, in the transaction of the move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.domain.targets import ApplyReceipt
from accessmgmt.models import Grant, User
from accessmgmt.models.grant import HELD_STATES

NO_LEASE: Mapping[str, Any] = {"lease_token": None, "lease_until": None}
AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow: the states in which it may begin, and the fields that it writes, `state` among them."""

    sources: tuple[GrantState, ...]
    fields: Mapping[str, Any]


def take_up() -> Move:
    """A worker begins to apply it."""
    return Move((GrantState.QUEUED,), {"state": GrantState.APPLYING, "applying_at": Now()})


def applied(receipt: ApplyReceipt, *, expires_at: datetime) -> Mapping[str, Any]:
    """Return what is known of a login that was made, also when its end was asked for meanwhile. No move."""
    return {
        "role_oid": receipt.role_oid,
        "system_identifier": receipt.system_identifier,
        "apply_receipt": receipt.as_json(),
        "expires_at": expires_at,
        **NO_LEASE,
    }


def activate(receipt: ApplyReceipt, *, expires_at: datetime) -> Move:
    """Its login was made and verified."""
    known = applied(receipt, expires_at=expires_at)
    return Move(
        (GrantState.APPLYING,),
        {**known, "state": GrantState.ACTIVE, "active_at": timezone.now(), "attempts": 0, "last_error": None},
    )


def begin_ending(reason: EndReason, *, by: User | None = None, wake_after: timedelta = AT_ONCE) -> Move:
    """Its end was asked for, or its time is over. The sweep wakes a worker for it after `wake_after`.

    A lease is left where it is: the ending waits for the worker that applies. The tries of the ending are counted from
    nothing, by which it is told from that worker.
    """
    now = timezone.now()
    return Move(
        HELD_STATES,
        {
            "state": GrantState.ENDING,
            "end_reason": reason,
            "ended_by": by,
            "end_requested_at": now,
            "next_attempt_at": now + wake_after,
            "attempts": 0,
        },
    )


def end(receipt: Any) -> Move:
    """Nothing of it is left on the target. `receipt` is the proof as JSON, or an expression that gives each row's."""
    return Move((GrantState.ENDING,), {"state": GrantState.ENDED, "last_error": None, **_over(receipt)})


def fail(receipt: Any) -> Move:
    """The target refused it, and nothing of it is left there. Why stays in `last_error`."""
    return Move((GrantState.APPLYING,), {"state": GrantState.FAILED, **_over(receipt)})


def _over(receipt: Any) -> Mapping[str, Any]:
    return {"ended_at": timezone.now(), "end_receipt": receipt, "password": "", **NO_LEASE}


def move_grants(rows: QuerySet[Grant], move: Move, **also: Any) -> int:
    """Make a move for those of the rows that stand where it begins, in one UPDATE; return how many that were.

    `also` are fields that are no part of the move, such as the lease of who makes it.
    """
    return rows.filter(state__in=move.sources).update(**move.fields, **also)


def move_grant(row: Grant, move: Move) -> None:
    """Make a move for a row that this transaction has locked. Raises ValueError when it does not begin there."""
    if row.state not in move.sources:
        raise ValueError(f"A grant that is {row.state} does not become {move.fields['state']}.")
    write_fields(row, move.fields)


def write_fields(row: Grant, fields: Mapping[str, Any]) -> None:
    """Store fields of a row that this transaction has locked."""
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))
