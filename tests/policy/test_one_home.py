"""Nobody but policy/ judges by a person's role, or by whose a row is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import accessmgmt

ROOT = Path(accessmgmt.__file__).parent
ELSEWHERE = ("policy", "migrations")
ROLES = {"is_admin", "is_auditor"}
PERSONS = {"user", "actor", "person", "row", "self"}
"""What the code calls a person; a role on a server has an `is_admin` of its own."""


def judgements(source: str) -> list[int]:
    """Return the lines that read a person's role, or compare whose a row is with somebody."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            names = [inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)]
            if "user_id" in names or names.count("email") > 1:
                found.append(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr in ROLES and _person(node.value):
            found.append(node.lineno)
    return found


def _person(node: ast.expr) -> bool:
    return ast.unparse(node).rpartition(".")[2] in PERSONS


def test_every_module_asks_policy() -> None:
    paths = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in ELSEWHERE]
    assert len(paths) > 100
    found = {str(path.relative_to(ROOT)): judgements(path.read_text()) for path in paths}
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    "line",
    ["if not actor.is_admin: pass", "x = request.user.is_auditor", "row.user_id != actor.pk", "a.email == user.email"],
)
def test_a_judgement_is_noticed(line: str) -> None:
    assert judgements(line) == [1]
