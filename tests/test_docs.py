"""The documents name files that are there: who follows one arrives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PATH = re.compile(r"`([a-zA-Z_][\w./]*(?:\.(?:py|sql|css|js|json|html)|/))`")
MADE = {"build/bench.json", ".demo/", ".cache/static/", "build/screenshots/", "staticfiles/"}
"""What a command makes."""


def named_in(document: Path) -> list[str]:
    return [path for path in PATH.findall(document.read_text(encoding="utf-8")) if path not in MADE and "/" in path]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    missing = [
        path
        for path in named_in(document)
        if not any((ROOT / folder / path).exists() for folder in ("", "accessmgmt", "accessmgmt/provisioning"))
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_newcomers_questions_are_answered_by_one_path_each() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("### Where is ...?")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "?" in line]
    assert len(rows) >= 10
    for row in rows:
        [path] = re.findall(r"`([^`]+)`", row)
        assert (ROOT / path).is_file(), row
