"""The statements that rehearse a grant and its end."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from accessmgmt.domain.names import REHEARSAL_PREFIX, Installation
from accessmgmt.provisioning.statements.base import Statement, load


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


def read_rehearsals(installation: Installation) -> Statement:
    """Read the roles of rehearsals, and whether nobody needs them any more: `oid`, `name`, `tag`, `is_over`."""
    prefixes = [f"{installation.tag_prefix}{kind}:{REHEARSAL_PREFIX}" for kind in ("grant", "set")]
    return Statement("look for rehearsals", load("rehearsals").format(*map(sql.Literal, prefixes)))
