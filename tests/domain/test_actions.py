"""Every audit action stands in one place, and the code names it instead of writing it out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.apps import apps

import accessmgmt
from accessmgmt.domain.actions import Action, ActionSeverity, ObjectType, find_action, find_object_type

ROOT = Path(accessmgmt.__file__).parent
SOURCES = {
    path: ast.parse(path.read_text())
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0] != "migrations" and path.relative_to(ROOT) != Path("domain/actions.py")
}
NOUNS = {kind.words for kind in ObjectType}
VERBS = {action.value.partition(".")[2] for action in Action}
WRITTEN = re.compile(rf"(?:{'|'.join(sorted(NOUNS | {kind.value for kind in ObjectType}))})\.[a-z]+(?:_[a-z]+)*")
NOT_ACTIONS = {"grant.id"}


def written_out(tree: ast.AST) -> list[str]:
    """Return the actions that a module writes as a literal, or puts together in an f-string."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WRITTEN.fullmatch(node.value):
            found.append(node.value)
        if isinstance(node, ast.JoinedStr):
            texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            is_noun = any(text.rstrip(".") in NOUNS and text.endswith(".") for text in texts)
            is_verb = any("." in text for text in texts) and any(text.removeprefix(".") in VERBS for text in texts)
            if is_noun or is_verb:
                found.append(ast.unparse(node))
    return [text for text in found if text not in NOT_ACTIONS]


def test_no_module_writes_an_action_out() -> None:
    found = {str(path.relative_to(ROOT)): written_out(tree) for path, tree in SOURCES.items()}
    assert not {path: texts for path, texts in found.items() if texts}


@pytest.mark.parametrize(
    "line",
    [
        'audit.record(actor, "grant.activated", grant)',
        'record(actor, "grant.never_heard_of", grant)',
        'record(actor, f"{kind}.deleted", row)',
        "record(actor, f\"{kind}.{'created' if is_new else 'updated'}\", row)",
        'record(actor, f"grant.{verb}", row)',
    ],
)
def test_an_action_that_is_written_out_is_noticed(line: str) -> None:
    assert written_out(ast.parse(line))


def test_every_action_is_recorded_somewhere() -> None:
    named = {
        node.attr
        for tree in SOURCES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Action"
    }
    assert named == set(Action.__members__)


def test_every_action_has_words_and_begins_with_its_thing() -> None:
    for action in Action:
        noun, _, verb = action.value.partition(".")
        assert noun in NOUNS
        assert verb
        assert action.words
        assert action.severity in ActionSeverity
        assert len(action.value) <= 60, "it would not fit into its column"
    assert len({(action.value.partition(".")[0], action.words) for action in Action}) == len(Action)


def test_every_kind_of_thing_is_a_model() -> None:
    models = {model._meta.model_name for model in apps.get_app_config("accessmgmt").get_models()}
    assert {kind.value for kind in ObjectType} <= models


def test_what_is_stored_is_found_again_and_what_is_not_known_is_none() -> None:
    assert find_action("grant.ended") is Action.GRANT_ENDED
    assert find_action("cable.pulled_out") is None
    assert find_object_type("accessrequest") is ObjectType.ACCESS_REQUEST
    assert find_object_type("cable") is None
