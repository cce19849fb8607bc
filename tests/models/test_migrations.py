"""Migrations keep what is stored. Each is walked on a database of its own, as the role that owns the tables."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from devstack.portal_database import create_portal_database_with_owner
from devstack.postgres import PostgresServer
from tests.run_manage import run_manage

Row = dict[str, Any]
BEFORE, AFTER = "0012_resource_paused", "0013_decisions_as_rows"
MONDAY, TUESDAY = "2026-11-02 10:00:00+00", "2026-11-03 11:30:00.123456+00"
# What each state left in the columns of old: by whom, when, with which comment, for how long.
STORED = {
    "pending": (None, None, "", None),
    "approved": ("bob", TUESDAY, "Only for today\nBob", 1800),
    "denied": ("dave", TUESDAY, "Use the replica", None),
    "cancelled": ("alice", TUESDAY, "", None),
    "lapsed": (None, TUESDAY, "", None),
}
OLD = "SELECT state, decided_by_id, decided_at, comment, approved_seconds FROM accessmgmt_accessrequest ORDER BY id"
VOTES = "SELECT r.state, d.* FROM accessmgmt_decision d JOIN accessmgmt_accessrequest r ON r.id = d.request_id"
VOTE = """
INSERT INTO accessmgmt_decision (request_id, asker_id, decider_id, verdict, decided_at, comment, approved_seconds)
SELECT id, %(asker)s, %(decider)s, 'approved', now(), '', 60 FROM accessmgmt_accessrequest WHERE state = %(of)s
"""


class Portal:
    """A portal's database: the role that runs it asks, the one that owns it migrates."""

    def __init__(self, server: PostgresServer) -> None:
        name = f"migrations_{secrets.token_hex(4)}"
        self.url, self.owner_url = create_portal_database_with_owner(server, password="runs", name=name)

    def migrate(self, name: str) -> None:
        run_manage("migrate", "accessmgmt", name, "--verbosity=0", url=self.url, owner_url=self.owner_url)

    def ask(self, statement: str, **values: object) -> list[Row]:
        with psycopg.connect(self.url, row_factory=dict_row) as conn:
            cursor = conn.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def add(self, table: str, **values: object) -> int:
        columns, places = ", ".join(values), ", ".join(f"%({name})s" for name in values)
        statement = f"INSERT INTO accessmgmt_{table} ({columns}) VALUES ({places}) RETURNING id"  # noqa: S608
        return int(self.ask(statement, **values)[0]["id"])

    def add_person(self, name: str) -> int:
        return self.add(
            "user", email=f"{name}@company.com", name=name, password="!", role="member", time_zone="UTC",
            is_active=True, created_at=MONDAY, session_epoch=0,
        )  # fmt: skip

    def add_endpoint(self) -> Row:
        made = {"description": "", "created_at": MONDAY, "updated_at": MONDAY}
        resource = self.add(
            "resource", **made, name="orders", **dict.fromkeys(EMPTY, ""), type="postgres", port=5432,
            host="db.example.invalid", database_name="production", username="portal", use_aws_secrets=False,
            is_drift_repaired=False, leftovers="reassign", silent_tries=0, strangers=Jsonb([]),
            accepted_strangers=Jsonb([]),
        )  # fmt: skip
        authorization = self.add(
            "authorization", **made, name="orders", resource_type="postgres", permissions=Jsonb(PERMISSIONS)
        )
        endpoint = self.add(
            "endpoint", **made, name="orders", type="direct", ttl="8h", ttl_seconds=28800, is_jit_enabled=True,
            is_requestable=True, authorization_id=authorization, resource_id=resource,
        )  # fmt: skip
        return {"endpoint_id": endpoint, "resource_id": resource}


PERMISSIONS = {"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]}
EMPTY = (
    "password", "ssl_mode", "tls_root_cert", "tls_cert_file", "tls_key_file", "aws_region", "aws_secret_name",
    "aws_access_key_id", "aws_secret_access_key", "leftover_owner",
)  # fmt: skip


@pytest.fixture
def people() -> Row:
    return {}


@pytest.fixture
def portal(portal_postgres: PostgresServer, people: Row) -> Iterator[Portal]:
    """A portal that holds one request in each state, as it was stored before decisions were rows."""
    portal = Portal(portal_postgres)
    portal.migrate(BEFORE)
    people |= {name: portal.add_person(name) for name in ("alice", "bob", "dave")}
    endpoint = portal.add_endpoint()
    for state, (decider, decided_at, comment, approved_seconds) in STORED.items():
        portal.add(
            "accessrequest", **endpoint, user_id=people["alice"], reason="Looking into ticket 4711", duration="1h",
            duration_seconds=3600, permissions=Jsonb(PERMISSIONS), permissions_digest="0" * 64, state=state,
            created_at=MONDAY, lapses_at=TUESDAY, decided_by_id=people.get(decider), decided_at=decided_at,
            comment=comment, approved_seconds=approved_seconds,
        )  # fmt: skip
    yield portal
    with portal_postgres.connect() as conn:
        conn.execute(f"DROP DATABASE {portal.url.rpartition('/')[2]} WITH (FORCE)")


def test_stored_decisions_become_rows_and_columns_again(portal: Portal, people: Row) -> None:
    stored = portal.ask(OLD)
    at = stored[1]["decided_at"]
    portal.migrate(AFTER)
    votes = portal.ask(
        "SELECT r.state, d.* FROM accessmgmt_decision d JOIN accessmgmt_accessrequest r ON r.id = request_id"
    )
    told = ("state", "verdict", "asker_id", "decider_id", "decided_at", "comment", "approved_seconds")
    alice, bob, dave = people.values()
    assert {tuple(vote[name] for name in told) for vote in votes} == {
        ("approved", "approved", alice, bob, at, "Only for today\nBob", 1800),
        ("denied", "denied", alice, dave, at, "Use the replica", None),
    }
    requests = portal.ask("SELECT * FROM accessmgmt_accessrequest")
    assert {row["state"]: (row["settled_at"], row["granted_seconds"]) for row in requests} == {
        "pending": (None, None),
        "approved": (at, 1800),
        "denied": (at, None),
        "cancelled": (at, None),
        "lapsed": (at, None),
    }
    assert not {"decided_by_id", "decided_at", "comment", "approved_seconds"} & set(requests[0])
    portal.migrate(BEFORE)
    assert portal.ask(OLD) == stored
    portal.migrate(AFTER)
    assert len(portal.ask("SELECT 1 FROM accessmgmt_decision")) == 2


def test_the_role_that_runs_the_portal_may_vote_and_is_held_to_the_rules(portal: Portal, people: Row) -> None:
    portal.migrate(AFTER)
    alice, bob, dave = people.values()
    with pytest.raises(psycopg.errors.CheckViolation, match="decision_not_by_the_asker"):
        portal.ask(VOTE, asker=alice, decider=alice, of="pending")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="decision_of_its_request"):
        portal.ask(VOTE, asker=bob, decider=alice, of="pending")
    with pytest.raises(psycopg.errors.CheckViolation, match="only while the request is pending"):
        portal.ask(VOTE, asker=alice, decider=dave, of="approved")
    portal.ask(VOTE, asker=alice, decider=bob, of="pending")
    for statement in ("ALTER TABLE accessmgmt_decision DISABLE TRIGGER USER", "TRUNCATE accessmgmt_decision"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            portal.ask(statement)


RECEIPT = "SELECT end_receipt FROM accessmgmt_grant"
UNSEEN_NOTE = "Sessions at db2.internal could not be looked for: No route\nto the host."


def add_grant(portal: Portal, user_id: int, **fields: object) -> None:
    [endpoint] = portal.ask("SELECT id AS endpoint_id, resource_id FROM accessmgmt_endpoint")
    made = {
        **endpoint, "id": uuid.uuid4(), "user_id": user_id, "permissions": Jsonb(PERMISSIONS), "ttl_seconds": 60,
        "permissions_digest": "0" * 64, "end_reason": "expired", "role_name": "jit_alice_0123456789",
        "system_identifier": "", "password": "", "queued_at": MONDAY, "end_requested_at": MONDAY, "attempts": 0,
        "next_attempt_at": MONDAY,
    }  # fmt: skip
    portal.add("grant", **{**made, **fields})


def test_the_servers_that_an_ending_did_not_see_get_a_field_of_their_own(portal: Portal, people: Row) -> None:
    portal.migrate("0014_target_look")
    notes = ["A session was cut.", UNSEEN_NOTE, "It says that Sessions at x could not be looked for: a quotation."]
    receipt = {"role_name": "jit_alice_0123456789", "notes": notes}
    add_grant(portal, people["alice"], state="ended", ended_at=TUESDAY, end_receipt=Jsonb(receipt))
    before = portal.ask(RECEIPT)
    portal.migrate("0015_unseen_hosts")
    [row] = portal.ask(RECEIPT)
    assert row["end_receipt"]["unseen_hosts"] == [{"host": "db2.internal", "why": "No route\nto the host."}]
    assert row["end_receipt"]["notes"] == [notes[0], notes[2]]
    portal.migrate("0014_target_look")
    [row] = portal.ask(RECEIPT)
    assert sorted(row["end_receipt"].pop("notes")) == sorted(before[0]["end_receipt"].pop("notes"))
    assert row == before[0]


def test_what_a_silent_server_had_said_stays_and_every_one_is_asked_again(portal: Portal, people: Row) -> None:
    portal.migrate("0015_unseen_hosts")
    said = {"what": "No answer.", "why": "", "todo": "", "sqlstate": "", "notes": ["A session was cut."]}
    old = {"is_server_wide": True, "retry_at": TUESDAY, "failures": 3}
    add_grant(portal, people["alice"], state="ending", last_error=Jsonb({**said, **old}))
    [endpoint] = portal.ask("SELECT resource_id FROM accessmgmt_endpoint")
    portal.add("driftcheck", **endpoint, checked_at=MONDAY, took_ms=1, findings=Jsonb([]), error=Jsonb({**said, **old}))
    portal.migrate("0016_target_silence")
    kept = {name: value for name, value in old.items() if name == "failures"}
    assert portal.ask("SELECT last_error FROM accessmgmt_grant") == [{"last_error": {**said, **kept}}]
    [check] = portal.ask("SELECT error FROM accessmgmt_driftcheck")
    assert check["error"] == {**said, "is_server_wide": True}
    assert portal.ask("SELECT 1 FROM accessmgmt_targetsilence") == []
    portal.migrate("0015_unseen_hosts")
    assert portal.ask("SELECT silent_tries FROM accessmgmt_resource") == [{"silent_tries": 0}]
