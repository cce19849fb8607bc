"""Before a permission set's first use on a server, and on every connection test: its life in one transaction that is
rolled back.

An ending that cannot work is found before anything is granted.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.provisioning.privileges.read import Drift, Found, Scope
from accessmgmt.provisioning.session.conversation import Session
from accessmgmt.provisioning.statements.base import ROLLBACK, Statement
from accessmgmt.provisioning.statements.ending import drop_owned, drop_roles, revoke_memberships, step_into
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY
from accessmgmt.provisioning.statements.privileges import grant_tables, revoke_tables
from accessmgmt.provisioning.statements.rehearsal import create_role, read_may_use
from accessmgmt.provisioning.statements.roles import fence_login, grant_membership


def rehearse_set(session: Session, scope: Scope, found: Found) -> str:
    """Create both roles, grant on one relation, verify, fence, revoke and drop; then roll all of it back.

    Returns the relation's name, "" when there is none that lacks something and may be shared. Raises TargetRefused (or
    psycopg.Error, which the session explains) with what is missing. Nothing is left behind, wherever it stops.
    """
    relation = next((d for d in found.drift if d.kind == "relation" and d.can_grant and d.lacking), None)
    suffix = secrets.token_hex(6)
    login, capability = f"jit_rehearsal_{suffix}", f"jitb_rehearsal_{suffix}"
    try:
        session.send(_beginning(session, scope, relation, login, capability))
        if session.was_not_granted():
            raise _without_effect(session, relation)
        if relation is not None and not session.send([read_may_use(login, relation.oid, scope.wanted)])[0][0]["may"]:
            raise _without_effect(session, relation)
        session.send(_end(session, relation, login, capability))
    finally:
        session.roll_back()
    return relation.name if relation is not None else ""


def _beginning(
    session: Session, scope: Scope, relation: Drift | None, login: str, capability: str
) -> Sequence[Statement]:
    statements = [*BEGIN_BRIEFLY, create_role(capability), create_role(login)]
    if relation is not None:
        statements.append(grant_tables(scope.wanted, [relation.name], capability))
    return [*statements, grant_membership(capability, login, session.server_version)]


def _end(session: Session, relation: Drift | None, login: str, capability: str) -> Sequence[Statement]:
    is_superuser = session.conn.info.parameter_status("is_superuser") == "on"
    return [
        fence_login(login),
        revoke_memberships(capability, [login], None),
        *([revoke_tables([relation.name], capability)] if relation is not None else []),
        *([] if is_superuser else [step_into(capability, session.server_version)]),
        drop_owned(capability),
        drop_roles([login, capability]),
        ROLLBACK,
    ]


def _without_effect(session: Session, relation: Drift | None) -> TargetRefused:
    name = relation.name if relation is not None else "a role"
    return TargetRefused(
        f"“{session.target_name}” took the GRANT on {name} and gave nothing.",
        why="It was tried in a transaction that was rolled back: nothing was granted.",
        todo="A DBA makes the admin role a member of the owners of the tables.",
        sqlstate="01007",
    )
