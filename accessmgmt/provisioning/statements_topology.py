"""What a server is asked before it is worked with: its place among others, and what our credential may do there."""

from __future__ import annotations

from psycopg import sql

from accessmgmt.provisioning.statements import ADMIN_ROLE, QUARANTINE_ROLE, Statement, load

READ_PLACE = Statement(
    "read the server's place among others",
    sql.SQL(
        "SELECT s.system_identifier::text AS system_identifier, w.sender_host, w.sender_port"
        " FROM pg_control_system() s LEFT JOIN pg_stat_wal_receiver w ON true"
    ),
)
READ_TAGS = Statement(
    "read whose these roles are",
    sql.SQL(
        "SELECT r.oid::bigint AS oid, shobj_description(r.oid, 'pg_authid') AS tag FROM pg_roles r"
        " WHERE r.oid = ANY (%(oids)s::oid[])"
    ),
)
READ_BACKEND_PID = Statement("read the backend's pid", sql.SQL("SELECT pg_catalog.pg_backend_pid()"))


def read_preflight(server_version: int) -> Statement:
    """Ask what the role that does the work may do; since 16 CREATEROLE needs ADMIN on each role it works on."""
    return Statement(
        "read what the admin role lacks",
        load("preflight").format(
            admin_role=sql.Literal(ADMIN_ROLE),
            quarantine_role=sql.Literal(QUARANTINE_ROLE),
            set_option=sql.Literal("SET" if server_version >= 16 else "MEMBER"),
            needs_admin_option=sql.SQL("true" if server_version >= 16 else "false"),
        ),
    )
