"""A refusal names the statement that failed, wherever in its message it stands, and never repeats a secret."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetError
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, Statement, trusted
from accessmgmt.provisioning.statements.ending import SHORT_LOCK_TIMEOUT
from tests.provisioning.conftest import Shop


def a_statement(description: str, text: str, *, is_secret: bool = False) -> Statement:
    return Statement(description, trusted(text), is_secret=is_secret)


MANY_ROWS = a_statement("count to ten", "SELECT * FROM generate_series(1, 10)")
BLOCK = a_statement("do something", "DO $$ BEGIN PERFORM 1; PERFORM 2; END $$")
FAILS = a_statement("do what is refused", "SELECT 'no number'::int")
FAILS_IN_A_BLOCK = a_statement("do it in a block", "DO $$ BEGIN PERFORM 'no number'::int; END $$")
SECRET = a_statement("write a verifier", "SELECT 'hidden'::int", is_secret=True)
GOOD_SECRET = a_statement("write a good verifier", "SELECT 'hidden'", is_secret=True)
BROKEN = a_statement("mistype", "SELEC 'hidden'", is_secret=True)


def refusal_of(shop: Shop, statements: Sequence[Statement]) -> TargetError:
    with admin_session(shop.target, Budget(20)) as session:
        with pytest.raises(psycopg.Error) as refused:
            session.send(statements)
        session.roll_back()
        return session.explained(refused.value)


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        ([BEGIN, SHORT_LOCK_TIMEOUT, MANY_ROWS, BLOCK, FAILS, COMMIT], FAILS),
        ([FAILS, MANY_ROWS], FAILS),
        ([BEGIN, MANY_ROWS, FAILS_IN_A_BLOCK, FAILS, COMMIT], FAILS_IN_A_BLOCK),
        ([BEGIN, BLOCK, BLOCK, FAILS], FAILS),
    ],
)
def test_the_statement_that_failed_names_the_refusal(shop: Shop, statements: list[Statement], named: Statement) -> None:
    refusal = refusal_of(shop, statements)
    assert f"refused to {named.description}." in refusal.what
    assert "no number" in refusal.why


def test_what_fails_at_the_commit_is_named_so(shop: Shop) -> None:
    deferred = trusted(
        "CREATE TEMP TABLE parent (id int PRIMARY KEY) ON COMMIT DROP;"
        " CREATE TEMP TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP;"
        " INSERT INTO child VALUES (1)"
    )
    parts = [Statement("make a temporary table", sql.SQL(part)) for part in deferred.as_string(None).split(";")]  # type: ignore[arg-type]
    assert "refused to commit." in refusal_of(shop, [BEGIN, *parts, COMMIT]).what


def test_only_the_statement_with_the_secret_keeps_the_servers_words_back(shop: Shop) -> None:
    hidden = refusal_of(shop, [BEGIN, MANY_ROWS, SECRET, COMMIT])
    assert SECRET.description in hidden.what
    assert "hidden" not in str(hidden)
    assert "no number" in refusal_of(shop, [BEGIN, GOOD_SECRET, FAILS, COMMIT]).why


def test_a_message_that_does_not_parse_keeps_every_secret(shop: Shop) -> None:
    """The server reads the whole message before it does anything: its words may repeat any part."""
    refusal = refusal_of(shop, [BEGIN, MANY_ROWS, BROKEN, COMMIT])
    assert MANY_ROWS.description in refusal.what
    assert "SELEC" not in str(refusal)
