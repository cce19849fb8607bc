"""The statements that look for privileges of every kind, and take back what roles of the portal passed on.

What `GRANT ... ON` knows in PostgreSQL 14 to 18: relations, columns, sequences, routines, types, schemas, languages,
foreign data wrappers and servers, large objects, databases, tablespaces, parameters (15 and later).
https://www.postgresql.org/docs/current/sql-grant.html
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from accessmgmt.provisioning.statements.base import Statement, load, trusted

OPTIONS_SINCE, PARAMETERS_SINCE = 16, 15
NO_PARAMETERS = "(SELECT NULL::oid AS oid, NULL::text AS parname, NULL::aclitem[] AS paracl WHERE false)"
READ_ME = Statement(
    "read as whom we act", sql.SQL("SELECT current_user::text AS name, current_user::regrole::oid::bigint AS oid")
)


def read_entries(oids: Sequence[int], server_version: int) -> Statement:
    """List every privilege on what is listed as given to, or by, one of these roles: see queries/acl_entries.sql.

    All names are quoted by the server; `owner`, `grantor_oid` and `grantee_oid` (0 for PUBLIC) are OIDs.
    """
    parameters = "pg_parameter_acl" if server_version >= PARAMETERS_SINCE else NO_PARAMETERS
    return Statement("look for what was passed on", _entries(oids, "a", parameters))


def _entries(oids: Sequence[int], deptype: str, parameters: str) -> sql.Composed:
    roles = sql.SQL("SELECT unnest({}::oid[])").format(sql.Literal(list(oids)))
    return load("acl_entries").format(roles=roles, deptype=sql.Literal(deptype), parameters=trusted(parameters))


def disarm_owned(oid: int) -> Statement:
    """Take the sting out of what the role owns here, before it gets another owner: see queries/disarm_owned.sql.

    Its routines would run as the new owner (SECURITY DEFINER, indexes that ANALYZE computes), and what it shared would
    stay shared.
    """
    owned = _entries([oid], "o", NO_PARAMETERS)
    return Statement("disarm what it owns", load("disarm_owned").format(oid=sql.Literal(oid), entries=owned))


def read_in_the_way(oid: int) -> Statement:
    """List routines and operators of the role that shadow others' in their schemas: see queries/in_the_way.sql."""
    return Statement("look what is in the way", load("in_the_way").format(oid=sql.Literal(oid)))


def move_away(oid: int) -> Statement:
    """Give routines that are in the way another name, and drop operators that are, if nothing uses them."""
    found = load("in_the_way").format(oid=sql.Literal(oid))
    return Statement("get what it left out of the way", load("move_away").format(found=found))


def read_operators(oids: Sequence[int]) -> Statement:
    """Read which of these operators are there."""
    return Statement(
        "look which operators are left",
        sql.SQL("SELECT o.oid::bigint AS oid FROM pg_operator o WHERE o.oid = ANY ({}::oid[])").format(
            sql.Literal(list(oids))
        ),
    )


def read_made_databases(oid: int) -> Statement:
    """List the databases that a role owns, and that came after it."""
    return Statement(
        "look which databases it made",
        sql.SQL(
            "SELECT d.datname::text AS name FROM pg_database d WHERE d.datdba = {0} AND d.oid > {0} ORDER BY 1"
        ).format(sql.Literal(oid)),
    )


def act_as(role: str) -> Statement:
    """Act as another role until the transaction is over, or until the next one of these."""
    return Statement("act as another role", sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))


def step_out(role: str) -> Statement:
    """Undo step_into in the same transaction."""
    return Statement(
        "lay the role's own rights down", sql.SQL("REVOKE {} FROM CURRENT_USER").format(sql.Identifier(role))
    )


def take_back(privileges: Sequence[str], kind: str, name: str, grantee: str) -> Statement:
    """Take back what the acting role gave on one object; all was quoted by the server.

    REVOKE ALL would need a privilege on the columns too, which a role with USAGE on a sequence, say, has not.
    """
    return Statement(
        "take back what was passed on",
        sql.SQL("REVOKE {} ON {} {} FROM {} CASCADE").format(
            trusted(", ".join(privileges)), trusted(kind), trusted(name), trusted(grantee)
        ),
    )


def revoke_exactly(privileges: Sequence[str], kind: str, name: str, role: str) -> Statement:
    """Take back what the acting role gave by a grant option: REVOKE ALL would count as a word of the owner's.

    PostgreSQL chooses the grantor by the privileges that are named. `name` was quoted by the server.
    """
    return Statement(
        "take back what was given by a grant option",
        sql.SQL("REVOKE {} ON {} {} FROM {}").format(
            trusted(", ".join(privileges)), trusted(kind), trusted(name), sql.Identifier(role)
        ),
    )


def let_pass_on(privileges: Sequence[str], kind: str, name: str, role: str) -> Statement:
    """Give a role the right to pass on, which it needs to take back what it passed on before."""
    return Statement(
        "give the right to pass on back for a moment",
        sql.SQL("GRANT {} ON {} {} TO {} WITH GRANT OPTION").format(
            trusted(", ".join(privileges)), trusted(kind), trusted(name), sql.Identifier(role)
        ),
    )


def no_more_passing_on(privileges: Sequence[str], kind: str, name: str, role: str) -> Statement:
    """Take the right to pass these on away; the role's own privileges stay."""
    return Statement(
        "take the right to pass on away",
        sql.SQL("REVOKE GRANT OPTION FOR {} ON {} {} FROM {} CASCADE").format(
            trusted(", ".join(privileges)), trusted(kind), trusted(name), sql.Identifier(role)
        ),
    )


def lend(role: str, to: str, server_version: int) -> Statement:
    """Let a grantor act for a role, so that it may drop what it gave to it."""
    options = " WITH INHERIT TRUE, SET FALSE" if server_version >= OPTIONS_SINCE else ""
    return Statement(
        "let the grantor act for the role",
        sql.SQL("GRANT {} TO {}{}").format(sql.Identifier(role), sql.Identifier(to), trusted(options)),
    )


def read_givers(oids: Sequence[int], server_version: int) -> Statement:
    """Ask how we may act as each of these roles: see queries/givers.sql."""
    has_options = server_version >= OPTIONS_SINCE
    administered = (
        "pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION')"
        if has_options
        else "EXISTS (SELECT FROM pg_roles me WHERE me.rolname = current_user AND (me.rolcreaterole OR me.rolsuper))"
    )
    return Statement(
        "look who gave it",
        load("givers").format(
            oids=sql.Literal(list(oids)),
            membership=sql.Literal("SET" if has_options else "MEMBER"),
            is_administered=trusted(administered),
        ),
    )
