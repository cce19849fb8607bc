"""What this process has found in order before, so that the next apply need not compare every table again.

A capability role is compared in full when this process meets it, every RECALL_SECONDS, and whenever the catalog's
fingerprint differs: any GRANT, REVOKE, CREATE, ALTER or DROP of a relation, schema or default privilege in the database
since, by anybody; or anything of whatever other kind (a column, a function, a system table, a parameter) on which the
role has come to hold anything: the server counts what it is named in. Both cost about a millisecond for 10,000 tables,
the comparison thirty.

What that does not see, and the periodic check and re-sync (every 30 seconds) do: a column that has begun to need
another sequence.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from accessmgmt.provisioning.privileges.plan import CapabilityPlan, plan_capability
from accessmgmt.provisioning.privileges.read import Drift, Facts, Found, Scope, read_facts
from accessmgmt.provisioning.session.conversation import Session

RECALL_SECONDS = 60.0
MOST_REMEMBERED = 256

Key = tuple[str, int, str, str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """A capability role that was in order at `at` (monotonic).

    With relations that nobody lets the portal share, and with what strangers gave of their own.
    """

    found: Found
    ungranted: tuple[Drift, ...]
    gifts: tuple[Drift, ...]
    at: float


_lock = threading.Lock()
_known: OrderedDict[Key, Known] = OrderedDict()


def recall(session: Session, scope: Scope, role_name: str) -> tuple[Found, CapabilityPlan] | None:
    """Return what was found before, with the roles as they are now; None when it has to be looked at in full."""
    with _lock:
        known = _known.get(_key(session, scope))
    if known is None or time.monotonic() - known.at > RECALL_SECONDS:
        return None
    facts, fingerprint = read_facts(session, scope, role_name)
    if fingerprint != known.found.fingerprint or not _is_the_same(facts, known.found.facts, scope):
        return None
    return replace(known.found, facts=facts, role_name=role_name), CapabilityPlan(
        (), (), known.ungranted, (), gifts=known.gifts
    )


def remember(session: Session, scope: Scope, found: Found) -> None:
    """Keep a capability role that is in order: nothing is left that the portal could mend."""
    plan = plan_capability(found)
    if not plan.is_empty or plan.refused or found.facts.capability_oid is None:
        return
    with _lock:
        _known[_key(session, scope)] = Known(found, plan.ungranted, plan.gifts, time.monotonic())
        _known.move_to_end(_key(session, scope))
        if len(_known) > MOST_REMEMBERED:
            _known.popitem(last=False)


def forget(session: Session, scope: Scope) -> None:
    """Look at this capability role in full the next time."""
    with _lock:
        _known.pop(_key(session, scope), None)


def _key(session: Session, scope: Scope) -> Key:
    info = session.conn.info
    return info.host, info.port, info.dbname, scope.capability, session.server_version


def _is_the_same(now: Facts, before: Facts, scope: Scope) -> bool:
    return (
        now.capability_oid == before.capability_oid
        and now.capability_mentions == before.capability_mentions
        and not now.capability_attributes
        and not now.capability_is_armed
        and not now.capability_memberships
        and not now.in_recovery
        and now.acting_as == before.acting_as
        and now.capability_tag == scope.tag
    )
