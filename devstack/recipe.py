"""The roles that a DBA makes on a target so that the portal can work there, for PostgreSQL 14 to 18.

`jit_portal` owns all that the portal makes and cannot log in; a login role only steps into it, so that credentials
rotate without a change of owners or grantors; `jit_quarantine` receives what a dropped person's role owned. All
functions may run twice. docs/operations.md gives the same as SQL to paste.
"""

import enum
from collections.abc import Sequence

import psycopg
from psycopg import sql

PORTAL_ROLE = "jit_portal"
QUARANTINE_ROLE = "jit_quarantine"
LOGIN_ROLE = "jit_login_a"
_HELD_BACK_OPTIONS_SINCE = 160000  # GRANT .. WITH INHERIT .., SET ..


class ConnectBy(enum.StrEnum):
    """What lets jit_portal give CONNECT on a database: being a member of its owner (better), or a grant option."""

    OWNER = "owner"
    GRANT_OPTION = "grant-option"


def prepare_target(
    conn: psycopg.Connection,
    *,
    login: str = LOGIN_ROLE,
    password: str,
    databases: Sequence[str],
    owners: Sequence[str] = (),
    connect_by: ConnectBy = ConnectBy.OWNER,
    connection_limit: int = 20,
) -> None:
    """Make the roles and their memberships, as a superuser connected to any of the databases.

    `owners` are the roles that own tables or schemas to be shared. The password leaves this process as a verifier only.
    Call `prepare_database` in each database too.
    """
    _ensure_role(conn, PORTAL_ROLE, sql.SQL("NOLOGIN CREATEROLE"))
    _ensure_role(conn, QUARANTINE_ROLE, sql.SQL("NOLOGIN"))
    verifier = conn.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
    options = sql.SQL("LOGIN NOINHERIT PASSWORD {} CONNECTION LIMIT {}")
    _ensure_role(conn, login, options.format(sql.Literal(verifier), sql.Literal(connection_limit)))
    _grant_role(conn, PORTAL_ROLE, login, inherit=False, may_set=True)
    if conn.info.server_version >= _HELD_BACK_OPTIONS_SINCE:  # as `reserved_connections`, with which it works
        _grant_role(conn, "pg_use_reserved_connections", login, inherit=True, may_set=False)
    members = list(owners)
    if connect_by is ConnectBy.OWNER:
        members += [owner for database in databases if (owner := _database_owner(conn, database)) not in members]
    for owner in dict.fromkeys(members):
        _grant_role(conn, owner, PORTAL_ROLE, inherit=True, may_set=False)
    _grant_role(conn, QUARANTINE_ROLE, PORTAL_ROLE, inherit=True, may_set=True)
    conn.execute(sql.SQL("GRANT pg_signal_backend, pg_monitor TO {}").format(sql.Identifier(PORTAL_ROLE)))
    for database in databases:
        _grant_connect(conn, database, login, connect_by)


def prepare_database(conn: psycopg.Connection) -> None:
    """Let jit_quarantine own what is reassigned to it in schemas of the connected database where PUBLIC may create."""
    rows = conn.execute(
        "SELECT nspname FROM pg_namespace WHERE has_schema_privilege('public', oid, 'CREATE') AND nspname !~ '^pg_'"
    ).fetchall()
    for (schema,) in rows:
        text = sql.SQL("GRANT CREATE ON SCHEMA {} TO {}")
        conn.execute(text.format(sql.Identifier(schema), sql.Identifier(QUARANTINE_ROLE)))


def grant_with_option(conn: psycopg.Connection, *, schemas: Sequence[str]) -> None:
    """Give jit_portal all privileges in the schemas with grant option, in place of membership in their owners.

    Never do both for an object: PostgreSQL then chooses the grantor by itself. New tables need it again.
    """
    role = sql.Identifier(PORTAL_ROLE)
    for name in schemas:
        schema = sql.Identifier(name)
        for what in ("SCHEMA", "ALL TABLES IN SCHEMA", "ALL SEQUENCES IN SCHEMA", "ALL FUNCTIONS IN SCHEMA"):
            text = sql.SQL("GRANT ALL ON {what} {schema} TO {role} WITH GRANT OPTION")
            conn.execute(text.format(what=sql.SQL(what), schema=schema, role=role))


def _ensure_role(conn: psycopg.Connection, name: str, options: sql.Composable) -> None:
    exists = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
    conn.execute(sql.SQL("{} {} WITH {}").format(verb, sql.Identifier(name), options))


def _grant_role(conn: psycopg.Connection, role: str, member: str, *, inherit: bool, may_set: bool) -> None:
    text = sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(member))
    if conn.info.server_version >= _HELD_BACK_OPTIONS_SINCE:
        words = {True: sql.SQL("TRUE"), False: sql.SQL("FALSE")}
        text += sql.SQL(" WITH INHERIT {}, SET {}").format(words[inherit], words[may_set])
    conn.execute(text)


def _database_owner(conn: psycopg.Connection, database: str) -> str:
    """Return the owner's name; a superuser's database has no owner that may be given to jit_portal."""
    row = conn.execute(
        "SELECT r.rolname, r.rolsuper FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = %s",
        [database],
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no database {database!r}")
    if row[1]:
        raise PermissionError(f"database {database!r} belongs to a superuser: change its owner, or use GRANT_OPTION")
    return str(row[0])


def _grant_connect(conn: psycopg.Connection, database: str, login: str, connect_by: ConnectBy) -> None:
    name = sql.Identifier(database)
    conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(login)))
    if connect_by is ConnectBy.GRANT_OPTION:
        text = sql.SQL("GRANT CONNECT ON DATABASE {} TO {} WITH GRANT OPTION")
        conn.execute(text.format(name, sql.Identifier(PORTAL_ROLE)))
