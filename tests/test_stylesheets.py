"""Stylesheets: lengths, colours and sizes have names, and no rule is written twice."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from django.conf import settings

CSS = settings.BASE_DIR / "static" / "css"
FILES = sorted(path for path in CSS.rglob("*.css") if path.name not in {"portal.css", "tokens.css", "fonts.css"})
DECLARATION = re.compile(r"^\s+([a-z-]+): ([^;{]+);$", re.MULTILINE)
RULE = re.compile(r"^( *)([^\s@}][^{}]*) \{\n([^{}]*)^\1\}", re.MULTILINE)
HAS_LENGTH = re.compile(r"(?<![\w-])-?\d*\.?\d+(rem|px|em|pt)\b")
HAS_COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|\b(rgb|hsl|oklch|light-dark)\(", re.IGNORECASE)
BY_TOKEN = re.compile(r"(margin|padding)(-.+)?|(row-|column-)?gap|border-radius|font-size|box-shadow")
TEMPLATES = settings.BASE_DIR / "templates"


def test_there_are_stylesheets() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_spaces_radii_type_sizes_and_shadows_are_tokens(path: Path) -> None:
    raw = [
        f"{name}: {value}"
        for name, value in DECLARATION.findall(path.read_text())
        if BY_TOKEN.fullmatch(name) and HAS_LENGTH.search(value)
    ]
    assert raw == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_colours_are_tokens(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if HAS_COLOUR.search(line)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_shouts(path: Path) -> None:
    assert "!important" not in path.read_text(), "a later layer wins by itself"


def test_every_token_that_is_used_exists() -> None:
    texts = [path.read_text() for path in CSS.rglob("*.css")]
    known = set(re.findall(r"^\s+(--[a-z0-9-]+):", "\n".join(texts), re.MULTILINE))
    used = {
        name for text in texts for name in re.findall(r"var\((--[a-z0-9-]+)", text) if not name.startswith("--tblr")
    }
    assert used <= known
    assert {name for name in known if not name.startswith("--tblr")} - used == set(), "nobody uses these"


def test_no_rule_is_copied_into_another_file() -> None:
    where: dict[frozenset[str], set[str]] = defaultdict(set)
    for path in FILES:
        for _, selector, text in RULE.findall(path.read_text()):
            declarations = frozenset(line.strip() for line in text.splitlines() if line.strip())
            if len(declarations) >= 3:
                where[declarations].add(f"{path.stem}: {selector}")
    copied = [places for places in where.values() if len({place.partition(":")[0] for place in places}) > 1]
    assert copied == []


def test_every_class_of_the_stylesheets_is_used() -> None:
    said = "\n".join(
        path.read_text()
        for folder, pattern in (
            (TEMPLATES, "*.html"),
            (settings.BASE_DIR / "accessmgmt", "*.py"),
            (settings.BASE_DIR / "static" / "js", "*.js"),
        )
        for path in folder.rglob(pattern)
    )
    known = {
        name for path in FILES for name in re.findall(r"\.([a-z][a-z0-9-]+)(?=[\s,:.>+~\[){]|$)", path.read_text())
    }
    made = re.compile(r"state-|tone-|moment-|alert-|grant-card-|nav-count-|server-said-|hcl-|htmx-")
    assert {name for name in known if name not in said and not made.match(name)} - {"css"} == set()
