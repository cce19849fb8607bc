"""The portal's own database, the role that owns it and the role that the portal runs as."""

import secrets

from psycopg import sql

from devstack.postgres import PostgresServer


def create_portal_database(server: PostgresServer, *, password: str, name: str = "portal") -> str:
    """Make a role that may create databases (for tests) and a database it owns, if missing; return the URL."""
    _make_role(server, name, password, may_create_databases=True)
    _make_database(server, name, name)
    return _url(server, name, password, name)


def create_portal_database_with_owner(
    server: PostgresServer, *, password: str, name: str = "portal"
) -> tuple[str, str]:
    """Make a database, its owner and a role that only runs the portal; return the URLs of the runner and the owner.

    The owner gets a new password each time. A database that the runner owns, as it was made before, is handed over.
    """
    owner, owner_password = f"{name}_owner", secrets.token_urlsafe(24)
    _make_role(server, name, password)
    _make_role(server, owner, owner_password)
    _make_database(server, name, owner)
    with server.connect(name) as conn:
        conn.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(name), sql.Identifier(owner)))
    return _url(server, name, password, name), _url(server, owner, owner_password, name)


def _make_role(server: PostgresServer, name: str, password: str, *, may_create_databases: bool = False) -> None:
    with server.connect() as conn:
        found = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        text = sql.SQL("{verb} ROLE {role} LOGIN {option} PASSWORD {password}")
        conn.execute(
            text.format(
                verb=sql.SQL("ALTER" if found else "CREATE"),
                role=sql.Identifier(name),
                option=sql.SQL("CREATEDB" if may_create_databases else "NOCREATEDB"),
                password=sql.Literal(password),
            )
        )


def _make_database(server: PostgresServer, name: str, owner: str) -> None:
    names = {"name": sql.Identifier(name), "owner": sql.Identifier(owner)}
    with server.connect() as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))


def _url(server: PostgresServer, role: str, password: str, name: str) -> str:
    return f"postgres://{role}:{password}@127.0.0.1:{server.port}/{name}"
