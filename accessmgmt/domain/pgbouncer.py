"""A ready PgBouncer for the portal's logins: pgbouncer.ini, userlist.txt and the SQL of its auth_query, as texts.

PgBouncer knows no users: it asks the server for the verifier of whoever comes (auth_query), so a sign-in works from the
moment its grant is active, and new clients are refused as soon as it is over.
Settings: https://www.pgbouncer.org/config.html
"""

from __future__ import annotations

from dataclasses import dataclass

AUTH_ROLE = "jit_pgbouncer"
SERVER_CONNECTIONS = 20
"""What a login may have at once where the resource says no max_connections; PgBouncer's own default for a pool."""

PASSWORD_PLACEHOLDER = "YOUR-PASSWORD"  # noqa: S105 - the word that a person replaces
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
VERIFYING = frozenset({"verify-ca", "verify-full"})


@dataclass(frozen=True, slots=True)
class Pooling:
    """What is known of a resource. `host` may be a list; `ssl_mode` is "" for libpq's own default, prefer."""

    name: str
    host: str
    port: int | None
    database: str
    ssl_mode: str = ""
    has_root_certificate: bool = False
    max_connections: int | None = None
    min_connections: int | None = None


@dataclass(frozen=True, slots=True)
class PoolFile:
    """One text. `name` is the file's name, `note` says where it belongs."""

    name: str
    note: str
    text: str


def pgbouncer_files(
    pooling: Pooling, *, folder: str = "/etc/pgbouncer", listen_address: str = "127.0.0.1", listen_port: int = 6432
) -> tuple[PoolFile, ...]:
    """Return the three texts. They hold no secret: where PgBouncer's own password goes they say YOUR-PASSWORD."""
    return (
        PoolFile("pgbouncer.ini", f"{folder}/pgbouncer.ini", _ini(pooling, folder, listen_address, listen_port)),
        PoolFile("userlist.txt", f"{folder}/userlist.txt, mode 0600, owned by PgBouncer's user", _userlist()),
        PoolFile("auth_query.sql", "Run once on the server by a superuser, in psql", _sql(pooling)),
    )


def _ini(pooling: Pooling, folder: str, listen_address: str, listen_port: int) -> str:
    host, *others = [part.strip() for part in pooling.host.split(",")]
    largest = pooling.max_connections
    pool_size = min(largest or SERVER_CONNECTIONS, SERVER_CONNECTIONS)
    smallest = min(pooling.min_connections or 0, pool_size)
    lines = [f"; PgBouncer in front of “{_comment(pooling.name)}”, written by the access portal", "[databases]"]
    if others:
        lines += [
            "; PgBouncer would take turns over a list of hosts, standbys included: this is its first.",
            f"; The others: {', '.join(map(_comment, others))}",
        ]
    database = pooling.database or "DATABASE"
    lines += [
        f"{_name(database)} = host={_value(host or 'HOST')} port={pooling.port or 'PORT'} dbname={_value(database)}"
        f" auth_user={AUTH_ROLE}",
        "",
        "[pgbouncer]",
        f"listen_addr = {listen_address}",
        f"listen_port = {listen_port}",
        "unix_socket_dir =",
        "auth_type = scram-sha-256",
        f"auth_file = {folder}/userlist.txt",
        f"auth_query = SELECT username, verifier FROM {AUTH_ROLE}.find_login($1)",  # noqa: S608
        "",
        "; A session keeps its server connection: temporary tables, SET and PREPARE work as without a pool.",
        "pool_mode = session",
        "server_reset_query = DISCARD ALL",
        "max_client_conn = 1000",
        "; Each login has a pool of its own, never more than its CONNECTION LIMIT.",
        f"default_pool_size = {pool_size}",
        f"min_pool_size = {smallest}",
    ]
    if largest is not None:
        lines += [f"max_db_connections = {largest}"]
    lines += [
        "; A login that has ended leaves no connection behind.",
        "server_idle_timeout = 60",
        "query_wait_timeout = 15",
        "ignore_startup_parameters = extra_float_digits",
        "",
        *_tls(pooling, folder),
    ]
    return "\n".join(lines) + "\n"


def _tls(pooling: Pooling, folder: str) -> list[str]:
    lines = [f"server_tls_sslmode = {pooling.ssl_mode or 'prefer'}"]
    if pooling.ssl_mode in VERIFYING or (pooling.ssl_mode == "require" and pooling.has_root_certificate):
        authority = f"{folder}/server-ca.pem" if pooling.has_root_certificate else SYSTEM_BUNDLE
        lines.append(f"server_tls_ca_file = {authority}")
    return [
        "; Towards the server, as the resource says.",
        *lines,
        "; Towards the clients, unless they are on this machine:",
        "; client_tls_sslmode = require",
        f"; client_tls_cert_file = {folder}/pgbouncer.crt",
        f"; client_tls_key_file = {folder}/pgbouncer.key",
    ]


def _userlist() -> str:
    return f'"{AUTH_ROLE}" "{PASSWORD_PLACEHOLDER}"\n'


def _sql(pooling: Pooling) -> str:
    database = _identifier(pooling.database or "DATABASE")
    return f"""\
-- Connected to the database {_comment(database)}, as a superuser: only one may read verifiers (pg_authid).
-- On a standby nothing is to be done: run this on its primary. Managed services let nobody read them.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{AUTH_ROLE}') THEN
        CREATE ROLE {AUTH_ROLE} LOGIN;
    END IF;
END $$;
ALTER ROLE {AUTH_ROLE} PASSWORD '{PASSWORD_PLACEHOLDER}';  -- the same as in userlist.txt
GRANT CONNECT ON DATABASE {database} TO {AUTH_ROLE};
CREATE SCHEMA IF NOT EXISTS {AUTH_ROLE};
REVOKE ALL ON SCHEMA {AUTH_ROLE} FROM PUBLIC;
GRANT USAGE ON SCHEMA {AUTH_ROLE} TO {AUTH_ROLE};

-- Gives the verifiers of the portal's logins alone, and only while they may log in: PgBouncer itself does not look
-- at VALID UNTIL.
CREATE OR REPLACE FUNCTION {AUTH_ROLE}.find_login(wanted text)
    RETURNS TABLE (username text, verifier text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT a.rolname::text, a.rolpassword
    FROM pg_authid a
    WHERE a.rolname = wanted AND a.rolname ~ '^jit_'
      AND a.rolcanlogin AND a.rolvaliduntil > now() AND NOT a.rolsuper
      AND shobj_description(a.oid, 'pg_authid') LIKE 'access-portal:%:grant:%'
$$;
REVOKE ALL ON FUNCTION {AUTH_ROLE}.find_login(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {AUTH_ROLE}.find_login(text) TO {AUTH_ROLE};
"""  # noqa: S608 - text for a person; names are quoted


def _name(database: str) -> str:
    """Write a database's name as a key of the [databases] section."""
    if database.replace("_", "").isalnum() and database.isascii():
        return database
    return _identifier(database)


def _value(text: str) -> str:
    """Write a value of a connection string: in single quotes, doubled inside, unless it is plain."""
    plain = text.replace("_", "").replace(".", "").replace("-", "").replace(":", "")
    if plain.isalnum() and plain.isascii():
        return text
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _comment(text: str) -> str:
    return " ".join(text.split())
