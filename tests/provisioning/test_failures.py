"""What each answer of a server means: at once again, later again, or a person; by its SQLSTATE alone."""

from __future__ import annotations

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.provisioning.session.explain import explain, is_lost, is_worth_repeating

AT_ONCE = ["XX000", "40001", "40P01", "55P03", "23505", "42704", "42P01", "3F000"]
LOST = ["57P01", "57P02", "08006", "08003", "08P01"]
LATER = ["57P03", "53200", "53300", "57014"]
PERSON = ["42501", "0LP01", "42601", "42939", "25006", "2BP01", "54000", "0A000"]


def answer(sqlstate: str) -> psycopg.Error:
    """Make the error that psycopg raises for a code."""
    error: psycopg.Error = psycopg.errors.lookup(sqlstate)("Meldung in einer anderen Sprache")
    error.sqlstate = sqlstate
    return error


def meaning(error: psycopg.Error) -> type[Exception]:
    return type(explain(error, target_name="shop", description="do something"))


@pytest.mark.parametrize("sqlstate", AT_ONCE)
def test_somebody_else_was_at_work(sqlstate: str) -> None:
    """A new transaction looks again; when that does not help, the whole is tried later."""
    assert is_worth_repeating(answer(sqlstate))
    assert not is_lost(answer(sqlstate))
    assert meaning(answer(sqlstate)) is TargetUnavailable


@pytest.mark.parametrize("sqlstate", LOST)
def test_the_connection_is_gone(sqlstate: str) -> None:
    assert is_lost(answer(sqlstate))
    assert not is_worth_repeating(answer(sqlstate))
    assert meaning(answer(sqlstate)) is TargetUnavailable


def test_an_error_without_a_code_is_a_lost_connection() -> None:
    """libpq gives none when it could not connect or was cut."""
    assert is_lost(psycopg.OperationalError("Verbindung verloren"))
    assert meaning(psycopg.OperationalError("Verbindung verloren")) is TargetUnavailable


@pytest.mark.parametrize("sqlstate", LATER)
def test_the_server_is_busy(sqlstate: str) -> None:
    assert not is_worth_repeating(answer(sqlstate))
    assert meaning(answer(sqlstate)) is TargetUnavailable


@pytest.mark.parametrize("sqlstate", PERSON)
def test_a_person_has_to_act(sqlstate: str) -> None:
    error = explain(answer(sqlstate), target_name="shop", description="do something")
    assert isinstance(error, TargetRefused)
    assert not is_worth_repeating(answer(sqlstate))
    assert error.todo
    assert sqlstate in error.why
