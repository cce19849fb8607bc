"""The role that runs the portal cannot change the audit trail; the one that migrates owns it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
import pytest
from django.db import connection

from accessmgmt.models import AuditEvent
from devstack.portal_database import create_portal_database_with_owner
from devstack.postgres import PostgresServer
from tests.run_manage import run_manage

MAKE_EVENTS = """
from accessmgmt.domain.actions import Action
from accessmgmt.models import User
from accessmgmt.services.audit import trail
from accessmgmt.services.audit.seal import seal_events
user = User.objects.create(email="alice@company.com")
for number in range(3):
    trail.record(user, Action.USER_PROFILE_CHANGED, user, number=number)
assert seal_events() == 3
user.name = "Alice"
user.save()
"""
Manage = Callable[..., str]


@pytest.fixture(scope="module")
def urls(portal_postgres: PostgresServer) -> tuple[str, str]:
    """A database of its own: the URL of the role that runs the portal, and that of the owner."""
    return create_portal_database_with_owner(portal_postgres, password="runs", name=f"roles_{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def manage(urls: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Manage:
    """Return a function that runs manage.py there, as the running role unless `owner_url` is given."""
    checkpoints = tmp_path_factory.mktemp("audit") / "checkpoints"

    def run(*arguments: str, owner_url: str = "", url: str = urls[0]) -> str:
        return run_manage(*arguments, url=url, owner_url=owner_url, PORTAL_AUDIT_CHECKPOINTS=str(checkpoints))

    run("migrate", "--verbosity=0", owner_url=urls[1])
    run("migrate", "--verbosity=0", owner_url=urls[1])  # again: nothing to do
    run("shell", "--verbosity=0", "-c", MAKE_EVENTS)
    return run


def test_the_portal_works_as_a_role_that_owns_nothing(manage: Manage, urls: tuple[str, str]) -> None:
    assert "The chain holds. Head: 3:" in manage("verify_audit")
    with psycopg.connect(urls[0]) as conn:
        assert conn.execute(
            "SELECT count(*) FROM pg_class WHERE pg_has_role(current_user, relowner, 'USAGE') AND oid > 16384"
        ).fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accessmgmt_auditevent SET action = 'x'",
        "DELETE FROM accessmgmt_auditevent",
        "TRUNCATE accessmgmt_auditevent CASCADE",
        "ALTER TABLE accessmgmt_auditevent DISABLE TRIGGER USER",
        "UPDATE accessmgmt_auditseal SET hash = 'x'",
        "DELETE FROM accessmgmt_auditseal",
        "TRUNCATE accessmgmt_auditseal",
        "DELETE FROM accessmgmt_auditslot",
        "TRUNCATE accessmgmt_auditslot",
        "DROP FUNCTION accessmgmt_refuse_change CASCADE",
        "CREATE OR REPLACE FUNCTION accessmgmt_refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "DROP TABLE accessmgmt_auditevent CASCADE",
    ],
)
@pytest.mark.usefixtures("manage")
def test_the_role_that_runs_the_portal_cannot_change_the_trail(urls: tuple[str, str], statement: str) -> None:
    with psycopg.connect(urls[0]) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)  # type: ignore[arg-type]


def test_a_check_warns_of_one_role_for_everything(manage: Manage, urls: tuple[str, str]) -> None:
    assert "accessmgmt.W002" not in manage("check", "--database", "default")
    assert "accessmgmt.W002" in manage("check", "--database", "default", url=urls[1])


@pytest.mark.django_db
def test_the_check_asks_nothing_where_no_database_may_be_asked() -> None:
    assert not [found for found in AuditEvent.check() if found.id == "accessmgmt.W002"]
    assert [found.id for found in AuditEvent.check(databases=["default"])] == ["accessmgmt.W002"]
    assert connection.settings_dict["USER"] == "portal"
