"""The statements that make, change and drop the portal's roles."""

from __future__ import annotations

from datetime import datetime

from psycopg import sql

from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, Statement

LOGIN_CONNECTION_LIMIT = 20  # where the resource says no max_connections


def create_capability(role: str, tag: str) -> list[Statement]:
    """Make the capability role and mark it as ours, in one transaction."""
    return [
        BEGIN,
        Statement("create the capability role", sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))),
        comment_on_role(role, tag),
        COMMIT,
    ]


def comment_on_role(role: str, tag: str) -> Statement:
    """Write our tag onto a role."""
    return Statement(
        "tag the role",
        sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(tag)),
    )


def write_login(
    role: str, *, exists: bool, verifier: str, valid_until: datetime, connection_limit: int = LOGIN_CONNECTION_LIMIT
) -> Statement:
    """Create the login role, or set it right again. VALID UNTIL wants a literal with its offset."""
    return Statement(
        "alter the login role" if exists else "create the login role",
        sql.SQL("{} ROLE {} LOGIN INHERIT CONNECTION LIMIT {} PASSWORD {} VALID UNTIL {}").format(
            sql.SQL("ALTER" if exists else "CREATE"),
            sql.Identifier(role),
            sql.Literal(connection_limit),
            sql.Literal(verifier),
            sql.Literal(valid_until.isoformat()),
        ),
        is_secret=True,
    )


def grant_membership(capability: str, role: str, server_version: int) -> Statement:
    """Let the login role have what the capability role holds, without stepping into it where that can be said."""
    option = sql.SQL(" WITH INHERIT TRUE, SET FALSE" if server_version >= 16 else "")
    return Statement(
        "grant the capability role",
        sql.SQL("GRANT {} TO {}{}").format(sql.Identifier(capability), sql.Identifier(role), option),
    )


def fence_login(role: str) -> Statement:
    """Close the door: no sign-in, no password, no validity."""
    return Statement(
        "fence the login role",
        sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0 VALID UNTIL '-infinity'").format(
            sql.Identifier(role)
        ),
    )


def drop_role(role: str) -> Statement:
    """Drop the login role."""
    return Statement("drop the login role", sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
