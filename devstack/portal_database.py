"""The portal's own database and the role that owns it."""

from psycopg import sql

from devstack.postgres import PostgresServer


def create_portal_database(server: PostgresServer, *, password: str, name: str = "portal") -> str:
    """Make a role that may create databases (for tests) and a database it owns, if missing; return the URL."""
    role = sql.Identifier(name)
    with server.connect() as conn:
        found = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        verb = sql.SQL("ALTER" if found else "CREATE")
        text = sql.SQL("{verb} ROLE {role} LOGIN CREATEDB PASSWORD {password}")
        conn.execute(text.format(verb=verb, role=role, password=sql.Literal(password)))
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {name} OWNER {role}").format(name=role, role=role))
    return f"postgres://{name}:{password}@127.0.0.1:{server.port}/{name}"
