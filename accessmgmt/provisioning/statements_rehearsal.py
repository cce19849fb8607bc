"""The statements that rehearse a grant and its end, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from accessmgmt.provisioning.statements import (
    BEGIN,
    ROLLBACK,
    Statement,
    comment_on_role,
    drop_role,
    fence_login,
    grant_membership,
)
from accessmgmt.provisioning.statements_end import revoke_memberships


def create_role(role: str) -> Statement:
    """Make a role that cannot log in, for a rehearsal."""
    return Statement("rehearse: create a role", sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def read_may_use(role: str, oid: int, wanted: Sequence[str]) -> Statement:
    """Ask whether a role has every one of these privileges on a relation."""
    each = [
        sql.SQL("has_table_privilege({}, {}::oid, {})").format(*map(sql.Literal, (role, oid, name))) for name in wanted
    ]
    return Statement(
        "rehearse: verify", sql.SQL("SELECT coalesce({}, false) AS may").format(sql.SQL(" AND ").join(each))
    )


def rehearse(role: str, capability: str, server_version: int) -> list[Statement]:
    """Make two roles, a grant and its end, in a transaction that is rolled back."""
    named = sql.Identifier(role)
    return [
        BEGIN,
        Statement("rehearse: create a role", sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(capability))),
        Statement("rehearse: create a login", sql.SQL("CREATE ROLE {} NOLOGIN").format(named)),
        comment_on_role(role, "access-portal rehearsal"),
        grant_membership(capability, role, server_version),
        Statement(
            "rehearse: verify",
            sql.SQL("SELECT pg_has_role({}, {}, 'USAGE') AS is_member").format(
                sql.Literal(role), sql.Literal(capability)
            ),
        ),
        fence_login(role),
        revoke_memberships(capability, [role], None),
        drop_role(role),
        drop_role(capability),
        ROLLBACK,
    ]
