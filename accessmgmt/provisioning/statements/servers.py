"""What a server is asked before it is worked with: its place among others, and what our credential may do there."""

from __future__ import annotations

from psycopg import sql

from accessmgmt.provisioning.statements.base import ADMIN_ROLE, QUARANTINE_ROLE, Statement, load, trusted

READ_PLACE = Statement(
    "read from where the server streams",
    sql.SQL("SELECT w.sender_host, w.sender_port FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver w ON true"),
)
READ_TAGS = Statement(
    "read whose these roles are",
    sql.SQL(
        "SELECT r.oid::bigint AS oid, r.rolname::text AS name, shobj_description(r.oid, 'pg_authid') AS tag"
        " FROM pg_roles r WHERE r.oid = ANY (%(oids)s::oid[])"
    ),
)


def read_backend(*, reads_cluster: bool) -> Statement:
    """Ask who answers: `pid` of the backend, and `cluster`, the server's system identifier ("" unless we may ask)."""
    cluster = "(SELECT system_identifier::text FROM pg_catalog.pg_control_system())" if reads_cluster else "''"
    return Statement(
        "read the backend's pid and cluster",
        sql.SQL("SELECT pg_catalog.pg_backend_pid() AS pid, {} AS cluster").format(trusted(cluster)),
    )


def read_database(name: str) -> Statement:
    """Ask whether a database is there, and in which ones roles hold something: by their OIDs, whatever their names."""
    return Statement(
        "look what became of the database",
        sql.SQL(
            "SELECT EXISTS (SELECT FROM pg_database d WHERE d.datname = {}) AS is_there,"
            " ARRAY(SELECT DISTINCT d.datname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid"
            " JOIN pg_database d ON d.oid = s.dbid WHERE s.refclassid = 'pg_authid'::regclass"
            " AND r.rolname = ANY (%(capabilities)s::name[]) ORDER BY 1) AS known"
        ).format(sql.Literal(name)),
    )


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
