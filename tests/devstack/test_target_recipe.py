"""The DBA's recipe lets the portal's login step into jit_portal and do its work, on each version."""

import secrets

import psycopg
import pytest
from psycopg import sql

from devstack.postgres import VERSIONS
from devstack.recipe import ConnectBy, grant_with_option, prepare_database, prepare_target


@pytest.fixture(params=VERSIONS)
def server(request, target_server):
    return target_server(request.param)


@pytest.fixture
def database(server):
    name = f"shop_{secrets.token_hex(3)}"
    owner = f"owner_{name}"
    with server.connect() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
    with server.connect(name) as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
        conn.execute("CREATE SCHEMA app")
        conn.execute("CREATE TABLE app.orders (id serial)")
    yield name
    with server.connect() as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(owner)))


def share(conn: psycopg.Connection, database: str) -> None:
    """Do what the portal does for a grant, and clean up."""
    role, name = sql.Identifier(f"jit_x_{secrets.token_hex(5)}"), sql.Identifier(database)
    conn.execute("SET ROLE jit_portal")
    conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
    conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, role))
    conn.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {}").format(role))
    conn.execute(sql.SQL("GRANT SELECT ON app.orders TO {}").format(role))
    conn.execute(sql.SQL("REVOKE ALL ON app.orders FROM {}").format(role))
    conn.execute(sql.SQL("REVOKE ALL ON SCHEMA app FROM {}").format(role))
    conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(name, role))
    conn.execute(sql.SQL("DROP ROLE {}").format(role))
    assert not conn.pgconn.transaction_status


def login_as_portal(server, database: str, password: str) -> psycopg.Connection:
    conn = server.connect(database, "jit_login_a", password)
    conn.add_notice_handler(lambda notice: pytest.fail(f"{notice.severity}: {notice.message_primary}"))
    return conn


def test_owner_membership(server, database):
    for password in ("first", "second"):
        with server.connect(database) as conn:
            prepare_target(conn, password=password, databases=[database], owners=[f"owner_{database}"])
            prepare_database(conn)
    with login_as_portal(server, database, "second") as conn:
        share(conn, database)


def test_grant_option(server, database):
    with server.connect(database) as conn:
        prepare_target(conn, password="x", databases=[database], connect_by=ConnectBy.GRANT_OPTION)
        grant_with_option(conn, schemas=["app"])
    with login_as_portal(server, database, "x") as conn:
        share(conn, database)


def test_the_login_itself_may_do_nothing(server, database):
    with server.connect(database) as conn:
        prepare_target(conn, password="x", databases=[database], owners=[f"owner_{database}"])
    with login_as_portal(server, database, "x") as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("CREATE ROLE nobody_makes_this")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT FROM app.orders")


def test_a_superuser_s_database_is_refused(server):
    with server.connect() as conn, pytest.raises(PermissionError):
        prepare_target(conn, password="x", databases=["postgres"])
