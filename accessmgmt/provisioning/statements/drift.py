"""The statements of the drift check and of its repairs, as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from psycopg import sql

from accessmgmt.domain.names import Installation
from accessmgmt.provisioning.statements.base import ADMIN_ROLE, Statement, load, trusted

READ_ACTING_AS = Statement(
    "read as whom we act",
    sql.SQL(
        "SELECT r.rolname::text AS name, current_database()::text AS database, r.rolsuper AS is_superuser,"
        " array_remove(ARRAY["
        "CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,"
        " CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS attributes FROM pg_roles r"
        " WHERE r.rolname = current_user"
    ),
)


def _prefix(installation: Installation, kind: str = "") -> sql.Literal:
    """Return how the comments begin that are looked at. Whoever reads them checks that they are tags: not all are."""
    return sql.Literal(f"{installation.tag_prefix}{kind}")


def read_roles(installation: Installation, names: Sequence[str], oids: Sequence[int], server_version: int) -> Statement:
    """Read every role whose comment begins as our tags do, and those of these names and OIDs.

    Up to 15 who has CREATEROLE ends any membership but those in superusers; since then its grantor's word counts.
    """
    return Statement(
        "read the portal's roles",
        load("drift_roles").format(
            prefix=_prefix(installation),
            names=sql.Literal(json.dumps(list(names))),
            oids=sql.Literal(json.dumps([str(oid) for oid in oids])),
            only_grantors=sql.Literal(server_version >= 16),
        ),
    )


def read_existing(names: Sequence[str]) -> Statement:
    """Read which of these roles are there."""
    return Statement(
        "look which capability roles are there",
        sql.SQL("SELECT r.rolname::text AS name FROM pg_roles r WHERE r.rolname = ANY ({}::name[])").format(
            sql.Literal(list(names))
        ),
    )


def read_members(installation: Installation) -> Statement:
    """Read which roles of others are members of ours."""
    return Statement(
        "read who is a member of the portal's roles",
        load("drift_members").format(prefix=_prefix(installation), admin_role=sql.Literal(ADMIN_ROLE)),
    )


def read_named(installation: Installation) -> Statement:
    """Read where else the portal's roles are named: settings, policies, future objects, other databases."""
    return Statement(
        "read where else the portal's roles are named", load("drift_named").format(prefix=_prefix(installation))
    )


def read_grantors(capabilities: Sequence[str]) -> Statement:
    """Read what others granted to capability roles."""
    return Statement(
        "read what others granted", load("drift_grantors").format(names=sql.Literal(json.dumps(list(capabilities))))
    )


def read_owned_by_sets(installation: Installation, most: int) -> Statement:
    """Read what capability roles own here, the first `most` objects of each by name."""
    return Statement(
        "read what capability roles own",
        load("drift_owned").format(prefix=_prefix(installation, "set:"), most=sql.Literal(most)),
    )


def read_sessions(oids: Sequence[int]) -> Statement:
    """Read the sessions of roles that are gone."""
    return Statement(
        "look for sessions that outlived their login",
        load("drift_sessions").format(oids=sql.Literal(json.dumps([str(oid) for oid in oids]))),
    )


def set_valid_until(role: str, valid_until: datetime) -> Statement:
    """Give a login its own end back."""
    return Statement(
        "set the login's end right",
        sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(sql.Identifier(role), sql.Literal(valid_until.isoformat())),
    )


def take_attributes(role: str, attributes: Sequence[str]) -> Statement:
    """Take attributes away (`attributes` as PostgreSQL writes them: SUPERUSER, ...)."""
    return Statement(
        "take attributes away",
        sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(role), trusted(" ".join(f"NO{name}" for name in attributes))),
    )


def alter_role(role: str, word: str) -> Statement:
    """Change one attribute of a role (LOGIN, INHERIT)."""
    return Statement("set the login right", sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(role), trusted(word)))


def rename_role(before: str, after: str) -> Statement:
    """Give a login its own name back."""
    return Statement(
        "give the login its name back",
        sql.SQL("ALTER ROLE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after)),
    )


def reset_setting(role: str, name: str, database: str) -> Statement:
    """Undo ALTER ROLE ... SET, or the one for a database."""
    within = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
    return Statement(
        "undo a setting",
        sql.SQL("ALTER ROLE {}{} RESET {}").format(sql.Identifier(role), within, sql.Identifier(*name.split("."))),
    )


def terminate_session(pid: int, oid: int) -> Statement:
    """End one session, if it is still the one that was found."""
    return Statement(
        "end the session",
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {} AND usesysid = {}").format(
            sql.Literal(pid), sql.Literal(oid)
        ),
    )


def read_unused(installation: Installation) -> Statement:
    """List capability roles that have no member."""
    return Statement(
        "look for capability roles without members",
        load("unused_sets").format(prefix=_prefix(installation, "set:"), admin_role=sql.Literal(ADMIN_ROLE)),
    )


def read_held(oid: int) -> Statement:
    """List what a role holds in the connected database."""
    return Statement("read what the role holds here", load("held_here").format(oid=sql.Literal(oid)))


def read_holding(oid: int, most: int) -> Statement:
    """List what keeps a role from being dropped, in words; of other databases only their names."""
    return Statement(
        "look what keeps the role",
        sql.SQL(
            "SELECT DISTINCT CASE WHEN s.dbid = 0 OR d.datname = current_database()"
            " THEN pg_describe_object(s.classid, s.objid, s.objsubid)"
            " ELSE 'something in the database ' || d.datname END AS what"
            " FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid"
            " WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {}::oid ORDER BY 1 LIMIT {}"
        ).format(sql.Literal(oid), sql.Literal(most)),
    )


def guard_no_member(role: str) -> Statement:
    """Fail (22012) when somebody has become a member of the role."""
    unused = (
        "SELECT 1 / CASE WHEN EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
        " WHERE r.rolname = {} AND pg_get_userbyid(m.member) NOT IN (current_user, session_user, {}))"
        " THEN 0 ELSE 1 END"
    )
    return Statement(
        "check that nobody is a member", sql.SQL(unused).format(sql.Literal(role), sql.Literal(ADMIN_ROLE))
    )


def as_text(statements: Sequence[Statement]) -> str:
    """Write statements as a DBA would paste them."""
    return "\n".join(f"{statement.query.as_string(None)};" for statement in statements)
