"""Makes a grant real on its target, and proves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from accessmgmt.domain.drift import DriftChange
from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.names import is_login_role_name
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import Privilege
from accessmgmt.domain.targets import ApplyReceipt, Target
from accessmgmt.provisioning.apply.login import Login, ensure_login
from accessmgmt.provisioning.apply.verify import Effective, Question, login_session, read_what_it_may
from accessmgmt.provisioning.connect.admin import admin_session, forget_connections
from accessmgmt.provisioning.connect.hosts import Servers
from accessmgmt.provisioning.connect.primary import find_servers
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


@dataclass(slots=True)
class Apply:
    """One grant that is being made, in one admin session on the server that takes changes.

    `found` is what was seen last of both roles, `plan` what could not be shared. `changes` gets what was changed on a
    capability role that had been there.
    """

    servers: Servers
    session: Session
    order: GrantOrder
    scope: Scope
    found: Found
    plan: CapabilityPlan
    changes: list[DriftChange] | None
    steps: Steps

    @property
    def role_name(self) -> str:
        return self.order.login.role_name

    def look_again(self) -> Found:
        """Compare both roles in full."""
        return inspect_target(self.session, self.scope, self.role_name)


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
    if not is_login_role_name(order.login.role_name):
        raise TargetRefused(
            f"“{order.login.role_name}” is no name of a login role.", todo="The portal does not touch it."
        )
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
    servers = find_servers(target, budget.check())
    as_admin = admin_session(servers.writable, budget, installation=order.login.installation)
    with steps.measured("total"), as_admin as session:
        apply = _begin(servers, session, order, changes, steps)
        triggers = _triggers(apply)
        with steps.measured("login"):
            login = _make_login(apply)
        if servers.standby is not None:
            with steps.measured("replay"):
                _wait_for(servers.standby, session)
        as_login = login_session(session, resolve_target(servers.named), apply.role_name, order.password, login.keys)
        with steps.measured("verify"), as_login as user:
            seen = _verify(apply, user, login)
        gifts = tell_gifts(apply.plan.gifts, apply.scope, session.conn.info.dbname)
    return replace(_receipt(apply, login, seen), triggers_before=triggers, gifts=gifts)


def _begin(
    servers: Servers, session: Session, order: GrantOrder, changes: list[DriftChange] | None, steps: Steps
) -> Apply:
    """Look at both roles, and bring the capability role in order unless it is known to be."""
    scope = scope_of(order.set, session.server_version, servers.named.leftover_owner)
    role_name = order.login.role_name
    with steps.measured("inspect"):
        known = recall(session, scope, role_name)
        found = known[0] if known else inspect_target(session, scope, role_name)
    with steps.measured("capability"):
        prepare = partial(ensure_capability, session, scope, found, changes)
        found, plan = known or naming_holders(session, servers.writable, prepare, WHAT_IS_SHARED)
        if known is None:
            remember(session, scope, found)
    return Apply(servers, session, order, scope, found, plan, changes, steps)


def _make_login(apply: Apply) -> Login:
    limit = apply.servers.named.max_connections
    make = partial(ensure_login, apply.session, apply.order, apply.scope, apply.found.facts, connection_limit=limit)
    return naming_holders(apply.session, apply.servers.writable, lambda: apply.session.repeat(make), apply.role_name)


def _triggers(apply: Apply) -> tuple[int, ...] | None:
    """Remember which triggers there are before somebody may make more: nothing says later who made one."""
    if Privilege.TRIGGER not in apply.order.set.permissions.grants:
        return None
    return tuple(row["oid"] for row in apply.session.send([read_triggers(apply.scope.capability)])[0])


def _verify(apply: Apply, as_login: Session, login: Login) -> Effective:
    """Check as the login role; relations that came since the first look get their privileges in one more pass.

    What comes even later is drift, not failure: the application may create tables all the time.
    """

    def look() -> Effective:
        besides = {gift.oid for gift in apply.plan.gifts}
        question = Question(apply.role_name, login.oid, apply.scope, apply.found.scope, besides)
        return read_what_it_may(as_login, apply.session, question)

    seen = look()
    if not _missing(seen, apply.plan):
        return seen
    forget(apply.session, apply.scope)
    apply.found, apply.plan = ensure_capability(apply.session, apply.scope, apply.look_again(), apply.changes)
    if apply.servers.standby is not None:
        _wait_for(apply.servers.standby, apply.session)
    seen = look()
    if missing := _missing(seen, apply.plan):
        drifting = {drift.oid for drift in apply.look_again().drift}
        # Asked once more: what was dropped meanwhile is not missing either.
        seen = look()
        still = [name for oid, name in _missing(seen, apply.plan).items() if oid in missing and oid not in drifting]
        if still or not seen.table_count:
            raise _not_usable(apply, still or list(missing.values()))
    return seen


def _missing(seen: Effective, plan: CapabilityPlan) -> dict[int, str]:
    known = {drift.oid for drift in plan.ungranted}
    return {oid: name for oid, name in seen.lacking.items() if oid not in known}


def _not_usable(apply: Apply, names: list[str]) -> TargetRefused:
    return TargetRefused(
        f"{apply.role_name} on “{apply.servers.named.name}” cannot use {', '.join(names[:5])} as approved.",
        why="The privileges were given, and PostgreSQL says that they do not take effect.",
        todo="A DBA looks at the privileges on the schema and on these tables.",
        sqlstate="42501",
    )


def _wait_for(standby: Target, session: Session) -> None:
    """Wait until the standby has what was written so far."""
    lsn = str(session.ask(READ_LSN)[0]["lsn"])
    with admin_session(standby, session.budget, server="standby") as there:
        wait_for_replay(there, lsn)


def _receipt(apply: Apply, login: Login, seen: Effective) -> ApplyReceipt:
    ungranted = tuple(f"{drift.name} (owner {drift.owner})" for drift in apply.plan.ungranted)
    return ApplyReceipt(
        role_oid=login.oid,
        valid_until=login.valid_until,
        server_version=apply.session.server_version,
        tables=seen.tables,
        table_count=seen.table_count,
        unmatched=(*apply.found.unmatched, *ungranted),
        public_extras=seen.public_extras,
        steps_ms=apply.steps.milliseconds,
        verified_at=seen.verified_at,
        system_identifier=apply.found.facts.system_identifier,
        sequences=seen.sequences,
        sequence_count=seen.sequence_count,
    )
