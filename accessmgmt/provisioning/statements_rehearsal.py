"""The statements that rehearse a grant and its end, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from accessmgmt.provisioning.statements import Statement


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
