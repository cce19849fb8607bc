"""Personas, clients and servers that every test may ask for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, settings

from accessmgmt.models import User
from devstack.kept_database import keep_database, restore_database
from devstack.kept_servers import kept_place
from devstack.paths import ROOT
from devstack.process import ProcessError, wait_until
from devstack.pytest_servers import *  # noqa: F403
from devstack.pytest_servers import portal_server
from tests.factories import make_user

# How long a machine takes says nothing about the code. `make mutants` tries the same examples for each mutant.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mutants", settings.get_profile("tests"), derandomize=True, database=None)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool) -> bool:
    """Leave the database to the next run where servers are kept."""
    return django_db_keepdb or kept_place() is not None


@pytest.fixture(scope="session")
def database_to_keep(django_db_modify_db_settings: None) -> str:
    """Bring a kept server's test database back to what the migrations make.

    Return its name when they have to run first, and a copy is to be kept then.
    """
    if kept_place() is None:
        return ""
    options = connection.settings_dict
    name = str(options["TEST"]["NAME"] or f"test_{options['NAME']}")
    return "" if restore_database(portal_server(), name, _what_migrates()) else name


def _what_migrates() -> list[Path]:
    return [*sorted(ROOT.glob("accessmgmt/migrations/*.py")), ROOT / "requirements" / "production.txt"]


@pytest.fixture(scope="session")
def django_db_setup(
    database_to_keep: str, django_db_setup: None, django_db_blocker: pytest.FixtureRequest
) -> Iterator[None]:
    """Let the tests' own flush empty the audit tables; tests/models checks the trigger itself.

    At the end nobody else may be connected, or the database cannot be dropped: then this says who it is.
    """
    if database_to_keep:
        connection.close()
        keep_database(portal_server(), database_to_keep, _what_migrates())
    with django_db_blocker.unblock(), connection.cursor() as cursor:  # type: ignore[attr-defined]
        for table in ("accessmgmt_auditevent", "accessmgmt_auditseal", "accessmgmt_auditslot"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_truncate")
        name = connection.settings_dict["NAME"]
    yield
    connection.close()
    with portal_server().connect("postgres") as dba:

        def connected() -> list[tuple[object, ...]]:
            query = "SELECT pid, application_name, state, query FROM pg_stat_activity WHERE datname = %s"
            return dba.execute(f"{query} AND backend_type = 'client backend'", [name]).fetchall()

        with suppress(ProcessError):
            wait_until(lambda: not connected(), timeout=60, what="nobody is connected")
        left = connected()
        assert not left, f"somebody has not closed a connection to the tests' database: {left}"


@pytest.fixture
def alice(db: None) -> User:
    """A developer."""
    return make_user("alice@company.com", name="Alice Developer")


@pytest.fixture
def bob(db: None) -> User:
    """An approver."""
    return make_user("bob@company.com", name="Bob Approver")


@pytest.fixture
def carol(db: None) -> User:
    """An outsider: in no group, approver of nothing."""
    return make_user("carol@company.com", name="Carol Outsider")


@pytest.fixture
def dave(db: None) -> User:
    """An admin."""
    return make_user("dave@company.com", name="Dave Admin", role=User.Role.ADMIN)


@pytest.fixture
def erin(db: None) -> User:
    """An auditor."""
    return make_user("erin@company.com", name="Erin Auditor", role=User.Role.AUDITOR)


@pytest.fixture
def client_for() -> Callable[[User], Client]:
    """Return a function from a user to a test client that is logged in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which somebody takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]
