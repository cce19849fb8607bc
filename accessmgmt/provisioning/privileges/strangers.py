"""Tells what strangers gave of their own to everybody with a permission set: pure functions.

Anybody may give anything of theirs to a capability role, as to PUBLIC. It takes nothing from anybody, and the portal
cannot take it back; so the set is given all the same, and the receipt says what comes with it. Who is a stranger stands
in queries/strangers.sql.
"""

from __future__ import annotations

from collections.abc import Sequence

from accessmgmt.domain.targets import Gift
from accessmgmt.provisioning.privileges.changes import object_words, taken_words
from accessmgmt.provisioning.privileges.plan import mending, wanted_of
from accessmgmt.provisioning.privileges.read import Drift, Scope
from accessmgmt.provisioning.statements import advice

MOST_TOLD = 5


def tell_gifts(gifts: Sequence[Drift], scope: Scope, database: str) -> tuple[Gift, ...]:
    """Say what was given besides, and what its owner runs to take it back; the first MOST_TOLD, and a count."""
    told = [
        Gift(
            what=f"{drift.owner} gave {taken_words(drift.surplus, wanted_of(drift, scope))} on {object_words(drift)}.",
            todo=str(advice.take_back(drift.owner, object_words(drift), mending(drift, scope), database)),
        )
        for drift in gifts[:MOST_TOLD]
    ]
    if len(gifts) > MOST_TOLD:
        told.append(
            Gift(what=f"And {len(gifts) - MOST_TOLD:,} more: they stand on the resource's drift page.", todo="")
        )
    return tuple(told)
