"""Makes a grant real on its target, and proves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from accessmgmt.domain.drift import DriftChange
from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.names import is_login_role_name
from accessmgmt.domain.permissions import Privilege
from accessmgmt.domain.targets import ApplyReceipt, GrantOrder, Target
from accessmgmt.provisioning.apply.login import Login, ensure_login
from accessmgmt.provisioning.apply.verify import Effective, login_session, read_what_it_may
from accessmgmt.provisioning.connect.admin import admin_session, forget_connections
from accessmgmt.provisioning.connect.primary import with_primary
from accessmgmt.provisioning.connect.replay import wait_for_replay
from accessmgmt.provisioning.connect.secrets_manager import resolve_target
from accessmgmt.provisioning.leftovers.held_up import naming_holders
from accessmgmt.provisioning.privileges.catalog_cache import forget, recall, remember
from accessmgmt.provisioning.privileges.ensure import WHAT_IS_SHARED, ensure_capability
from accessmgmt.provisioning.privileges.plan import CapabilityPlan
from accessmgmt.provisioning.privileges.read import Found, Scope, inspect_target, scope_of
from accessmgmt.provisioning.privileges.strangers import tell_gifts
from accessmgmt.provisioning.session.conversation import MOST_ATTEMPTS, Interrupted, Repeat, Session, wait_a_little
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.stopwatch import Steps
from accessmgmt.provisioning.statements.ending import read_triggers
from accessmgmt.provisioning.statements.reading import READ_LSN

BUDGET_SECONDS = 15.0


def apply_grant(
    target: Target,
    order: GrantOrder,
    *,
    budget_seconds: float = BUDGET_SECONDS,
    on_progress: Callable[[], None] | None = None,
    changes: list[DriftChange] | None = None,
) -> ApplyReceipt:
    """Give one person's login role exactly what the order says, and verify it as that role.

    Every step reads before it writes: run it again from the top after any failure. A login role that exists keeps its
    own end. A capability role that this process compared in full less than a minute ago, in a database whose catalog
    has not changed since, is not compared again (privileges/catalog_cache.py); the login is always verified by itself.
    `on_progress` is called between chunks of long work, and the budget starts anew there. `changes` gets what was
    changed on a capability role that had been there, also when this raises.

    Raises TargetUnavailable (try again) or TargetRefused (a person has to act; call end_grant to clean up).
    """
    if not is_login_role_name(order.role_name) or not order.password:
        raise TargetRefused("The order is not complete.", why="It needs a login role's name and a password.")
    budget = Budget(budget_seconds, on_progress)
    attempts = 0
    while True:
        attempts += 1
        try:
            return _apply(target, order, budget, changes)
        except Repeat:
            if attempts >= MOST_ATTEMPTS:
                raise TargetUnavailable(
                    f"Other work on “{target.name}” kept getting in between.", todo="It is tried again by itself."
                ) from None
            wait_a_little(attempts, budget)
        except Interrupted:
            # A pooled connection was dead, or the server restarted: look again what there is.
            if attempts >= 3 or budget.remaining_seconds <= 1:
                raise
            forget_connections(target.primary or target)


def _apply(target: Target, order: GrantOrder, budget: Budget, changes: list[DriftChange] | None) -> ApplyReceipt:
    steps = Steps()
    target = with_primary(target, budget.check())
    writable = target.primary or target
    as_admin = admin_session(writable, budget, installation=order.installation)
    with steps.measured("total"), as_admin as session:
        scope = scope_of(order, session.server_version, target.leftover_owner)
        with steps.measured("inspect"):
            known = recall(session, order, scope)
            found = known[0] if known else inspect_target(session, order, scope)
        with steps.measured("capability"):
            prepare = partial(ensure_capability, session, order, scope, found, changes)
            found, plan = known or naming_holders(session, writable, prepare, WHAT_IS_SHARED)
            if known is None:
                remember(session, scope, found)
        triggers = _triggers(session, order)
        with steps.measured("login"):
            facts, limit = found.facts, target.max_connections
            make = partial(ensure_login, session, order, scope, facts, connection_limit=limit)
            login = naming_holders(session, writable, lambda: session.repeat(make), order.role_name)
        if target.primary is not None:
            with steps.measured("replay"):
                _wait_on_standby(target, _position(session), budget)
        with steps.measured("verify"), login_session(session, resolve_target(target), order, login.keys) as as_login:
            seen, found, plan = _verify(session, as_login, target, order, scope, login, found, plan, changes)
        version = session.server_version
        gifts = tell_gifts(plan.gifts, scope, session.conn.info.dbname)
    receipt = _receipt(login, version, seen, found, plan, steps)
    return replace(receipt, triggers_before=triggers, gifts=gifts)


def _triggers(session: Session, order: GrantOrder) -> tuple[int, ...] | None:
    """Remember which triggers there are before somebody may make more: nothing says later who made one."""
    if Privilege.TRIGGER not in order.permissions.grants:
        return None
    return tuple(row["oid"] for row in session.send([read_triggers(order.capability)])[0])


def _verify(
    session: Session,
    as_login: Session,
    target: Target,
    order: GrantOrder,
    scope: Scope,
    login: Login,
    found: Found,
    plan: CapabilityPlan,
    changes: list[DriftChange] | None,
) -> tuple[Effective, Found, CapabilityPlan]:
    """Check as the login role; relations that came since the first look get their privileges in one more pass.

    What comes even later is drift, not failure: the application may create tables all the time.
    """

    def look() -> Effective:
        besides = {gift.oid for gift in plan.gifts}
        return read_what_it_may(as_login, session, order, scope, found.scope, login.oid, given_besides=besides)

    seen = look()
    if not _missing(seen, plan):
        return seen, found, plan
    forget(session, scope)
    found, plan = ensure_capability(session, order, scope, inspect_target(session, order, scope), changes)
    if target.primary is not None:
        _wait_on_standby(target, _position(session), session.budget)
    seen = look()
    if missing := _missing(seen, plan):
        drifting = {drift.oid for drift in inspect_target(session, order, scope).drift}
        # Asked once more: what was dropped meanwhile is not missing either.
        seen = look()
        still = [name for oid, name in _missing(seen, plan).items() if oid in missing and oid not in drifting]
        if still or not seen.table_count:
            raise _not_usable(target, order, still or list(missing.values()))
    return seen, found, plan


def _missing(seen: Effective, plan: CapabilityPlan) -> dict[int, str]:
    known = {drift.oid for drift in plan.ungranted}
    return {oid: name for oid, name in seen.lacking.items() if oid not in known}


def _not_usable(target: Target, order: GrantOrder, names: list[str]) -> TargetRefused:
    return TargetRefused(
        f"{order.role_name} on “{target.name}” cannot use {', '.join(names[:5])} as approved.",
        why="The privileges were given, and PostgreSQL says that they do not take effect.",
        todo="A DBA looks at the privileges on the schema and on these tables.",
        sqlstate="42501",
    )


def _position(session: Session) -> str:
    return str(session.ask(READ_LSN)[0]["lsn"])


def _wait_on_standby(target: Target, lsn: str, budget: Budget) -> None:
    with admin_session(target, budget, server="standby") as standby:
        wait_for_replay(standby, lsn)


def _receipt(
    login: Login, version: int, seen: Effective, found: Found, plan: CapabilityPlan, steps: Steps
) -> ApplyReceipt:
    ungranted = tuple(f"{drift.name} (owner {drift.owner})" for drift in plan.ungranted)
    return ApplyReceipt(
        role_oid=login.oid,
        valid_until=login.valid_until,
        server_version=version,
        tables=seen.tables,
        table_count=seen.table_count,
        unmatched=(*found.unmatched, *ungranted),
        public_extras=seen.public_extras,
        steps_ms=steps.milliseconds,
        verified_at=seen.verified_at,
        system_identifier=found.facts.system_identifier,
        sequences=seen.sequences,
        sequence_count=seen.sequence_count,
    )
