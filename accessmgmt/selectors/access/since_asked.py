"""What has changed between a request and its decision: shown to the approver, and asked again when it is approved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.models import AccessRequest
from accessmgmt.policy.access import Wires, may_request, wires_between


@dataclass(frozen=True, slots=True)
class SinceAsked:
    """What holds now for a request. `obstacle` says why it cannot be approved any more, "" when it can.

    `changes` are sentences for the approver, `most_seconds` is the longest that may be approved now, and `attested`
    is the digest of all that the approver attests: permissions, database, and longest duration.
    """

    changes: tuple[str, ...]
    obstacle: str
    most_seconds: int
    attested: str


def since_asked(rows: Collection[AccessRequest]) -> dict[int, SinceAsked]:
    """Return what holds now for each pending request, by primary key, with one query for all of them.

    The rows' user, endpoint, and the endpoint's resource and authorization are read: select them with the rows.
    """
    wires = wires_between({row.user.email for row in rows}, {row.endpoint_id for row in rows})
    return {row.pk: _since_asked(row, wires) for row in rows}


def _since_asked(row: AccessRequest, wires: Wires) -> SinceAsked:
    endpoint = row.endpoint
    most_seconds = min(row.duration_seconds, endpoint.ttl_seconds)
    obstacle = _obstacle(row, wires)
    changes = []
    if most_seconds < row.duration_seconds:
        changes.append(
            f"{endpoint} gives at most {ttl_in_words(most_seconds)} by now. {row.duration_in_words} were asked for."
        )
    if endpoint.authorization.permission_set.digest != row.permissions_digest:
        now = endpoint.authorization.permission_set.in_words()
        changes.append(f"By now {endpoint} gives {now}. What was asked for is given, as it stands here.")
    attested = {
        "permissions": row.permissions_digest,
        "resource": row.resource_id,
        "most_seconds": most_seconds,
        "obstacle": obstacle,
    }
    digest = hashlib.sha256(json.dumps(attested, sort_keys=True).encode()).hexdigest()
    return SinceAsked(tuple(changes), obstacle, most_seconds, digest)


def _obstacle(row: AccessRequest, wires: Wires) -> str:
    """Say what would keep the person from asking for this now."""
    if not row.user.is_active:
        return "This person's account is suspended."
    if row.resource_id != row.endpoint.resource_id:
        return f"{row.endpoint} is on another database now than {row.resource}, for which this was asked."
    if not may_request(row.user, row.endpoint, wires):
        return f"{row.user} may not ask for {row.endpoint} any more: it is not open to requests from this person now."
    return ""
