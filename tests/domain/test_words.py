"""Every state, reason, kind and step has words, and only those of domain/words.py."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import pytest

from accessmgmt.domain import words
from accessmgmt.domain.drift import DriftKind, Severity
from accessmgmt.domain.states import EndReason, GrantState, RequestState, Work
from accessmgmt.domain.targets import RungState
from accessmgmt.provisioning.end import grants

TABLES = [
    (GrantState, words.GRANT_STATE_WORDS),
    (RequestState, words.REQUEST_STATE_WORDS),
    (EndReason, words.END_REASON_WORDS),
    (Work, words.WORK_WORDS),
    (RungState, words.RUNG_STATE_WORDS),
    (Severity, words.DRIFT_SEVERITY_WORDS),
    (DriftKind, words.DRIFT_KIND_WORDS),
]


@pytest.mark.parametrize(("members", "table"), TABLES)
def test_each_member_has_words_of_its_own(members: type[StrEnum], table: Mapping[StrEnum, str]) -> None:
    assert set(table) == set(members)
    assert all(table.values())
    assert len(set(table.values())) == len(table)


def test_each_step_that_an_ending_measures_has_words() -> None:
    tree = ast.parse(Path(grants.__file__).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    measured = {
        node.args[0].value
        for node in calls
        if isinstance(node.func, ast.Attribute)
        and node.func.attr == "measured"
        and isinstance(node.args[0], ast.Constant)
    }
    assert measured == set(words.END_STEP_WORDS)


def test_a_step_or_a_state_of_old_keeps_its_name() -> None:
    assert words.end_step_words("fence") == "Membership revoked, sign-in closed"
    assert words.end_step_words("a step of old") == "A step of old"
    assert words.state_words("dormant") == "dormant"


def test_what_is_not_asked_for_has_no_reason() -> None:
    assert words.end_reason_words("") == ""
    assert words.end_reason_words("expired") == "its time was over"
