"""The demo's target database `production`: a shop in the schemas public, app, analytics and internal."""

from pathlib import Path

from psycopg import sql

from devstack.postgres import PostgresServer
from devstack.recipe import LOGIN_ROLE, prepare_database, prepare_target

DATABASE = "production"
OWNER = "app_owner"
SCHEMAS = ("public", "app", "analytics", "internal")
_SQL = Path(__file__).parent / "sql"


def create_demo_database(server: PostgresServer, *, login_password: str, name: str = DATABASE) -> None:
    """Make the database with its data, owned by app_owner, and the roles that the portal works with.

    May run twice. What is filled is complete, because each schema is made in the one transaction that fills them all.
    """
    _create_owner_and_database(server, name)
    with server.connect(name, autocommit=False) as conn:
        if conn.execute("SELECT to_regnamespace('internal')").fetchone() == (None,):
            conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
            for schema in SCHEMAS:
                conn.execute((_SQL / f"{schema}.sql").read_bytes())
    with server.connect(name) as conn:
        conn.execute("ANALYZE")
        prepare_target(conn, login=LOGIN_ROLE, password=login_password, databases=[name], owners=[OWNER])
        prepare_database(conn)


def _create_owner_and_database(server: PostgresServer, name: str) -> None:
    owner, database = sql.Identifier(OWNER), sql.Identifier(name)
    with server.connect() as conn:
        if conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone() is None:
            conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(owner))
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
            # Only who is let in gets in: not everybody who has any role on the server.
            conn.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
