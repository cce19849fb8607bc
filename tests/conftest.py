"""Personas, clients and servers that every test may ask for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.test import Client

from accessmgmt.models import User
from devstack.pytest_servers import *  # noqa: F403
from tests.factories import make_user


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> None:
    """Let the tests' own flush empty the audit tables; tests/models checks the trigger itself."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:  # type: ignore[attr-defined]
        for table in ("accessmgmt_auditevent", "accessmgmt_auditseal", "accessmgmt_auditslot"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_truncate")


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
