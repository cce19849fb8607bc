"""Names of schemas and tables as people write them: dots, quotes and foreign patterns are explained, not stored."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.object_names import (
    SCHEMA,
    TABLE,
    exact_name,
    is_pattern,
    object_name,
    read_entry,
    read_names,
    write_entry,
    write_names,
)
from accessmgmt.domain.permissions import parse_permissions, read_permissions


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("public", ["public"]),
        ("public, app ,,", ["public", "app"]),
        ("public\r\napp\n\n", ["public", "app"]),
        ("Order Items\nodd,name", ["Order Items", "odd,name"]),
        ("odd,name\n", ["odd,name"]),
        ("b, a, b", ["b", "a", "b"]),
        ('"odd,name", other', ["odd,name", "other"]),
        ('"Orders"', ["Orders"]),
        ('"a.b", "c*", "*"', ['"a.b"', '"c*"', '"*"']),
        ('"six"" pipe"', ['"six"" pipe"']),
        ('" spaced "', ['" spaced "']),
        ("*\nevents_*", ["*", "events_*"]),
        ("\ufefforders\u200b, items\u00a0", ["orders", "items"]),
        ('[" spaced ", "a,b", "\\"a.b\\""]', ["spaced", "a,b", '"a.b"']),
        ("таблица, 表", ["таблица", "表"]),
    ],
)
def test_names_are_read(text: str, entries: list[str]) -> None:
    assert read_names(text, TABLE) == entries
    assert read_names(write_names(entries), TABLE) == entries


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("app.orders", ["Write app under schemas, and orders here.", '"app.orders"']),
        ('"app"."Orders"', ["Write app under schemas, and Orders here."]),
        ('app."Orders"', ["Write app under schemas, and Orders here."]),
        ("shop.app.orders", ["Write app under schemas, and orders here."]),
        ("public.*", ["Write public under schemas, and choose all tables."]),
        ("*.*", ["Write * under schemas, and choose all tables."]),
        ("ord%", ["percent sign", "write “ord*”", '"ord%"']),
        ("orders; items", ["a semicolon"]),
        ("`orders`", ["a backtick", "Write “orders”"]),
        ('6" pipe', ["does not close a name"]),
        ('"orders', ["does not close a name"]),
        ("or\u200bders", ["U+200B ZERO WIDTH SPACE at character 3, after “or”"]),
        ('"or\u202eders"', ["U+202E RIGHT-TO-LEFT OVERRIDE"]),
        ('"orders\u200b"', ["U+200B"]),
        ("or\u00a0ders", ["U+00A0 NO-BREAK SPACE"]),
        ("ä" * 32, ["longer than 63 bytes"]),
        ("a,\nb", ["ends with a comma"]),
        ("[1]", ["holds only texts"]),
        ('["a"', ["begins like a JSON list"]),
        ('["a"] rest', ["begins like a JSON list"]),
        ('["a.b"]', ["Write a under schemas, and b here."]),
        ("[dbo].[orders]", ["begins like a JSON list"]),
        ("[" * 5_000, ["nested more than 20 levels deep"]),
        ("x" * 200_001, ["longer than 200,000 characters"]),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(text: str, words: list[str]) -> None:
    with pytest.raises(InvalidError) as refusal:
        read_names(text, TABLE)
    said = " ".join([str(refusal.value), *refusal.value.fields.get(TABLE, [])])
    assert all(each in said for each in words), said
    assert "\u202e" not in said


def test_a_table_among_the_schemas_is_told_apart() -> None:
    with pytest.raises(InvalidError, match="Write app here, and orders under tables"):
        read_names("app.orders", SCHEMA)


def test_each_of_the_first_refusals_is_said() -> None:
    with pytest.raises(InvalidError) as refusal:
        read_names("\n".join(f"app.t{number}" for number in range(25)), TABLE)
    assert len(refusal.value.fields[TABLE]) == 11
    assert refusal.value.fields[TABLE][-1] == "And 15 more."


def test_quotes_that_say_nothing_do_not_make_another_set() -> None:
    """The digest is what an approver attests, and names the role: one meaning has one."""

    def digest(*tables: str) -> str:
        return parse_permissions({"grants": ["SELECT"], "schemas": ["public"], "tables": list(tables)}).digest

    assert digest('"orders"') == digest("orders")
    assert digest('"ord*"') != digest("ord*")


def test_what_was_stored_before_is_still_what_it_was() -> None:
    """A dotted name that is stored without quotes is that name: a grant of it has to be ended by the same role."""
    stored = {"grants": ["SELECT"], "schemas": ["public"], "tables": ["a.b", " c ", '6" pipe']}
    found = parse_permissions(stored)
    assert set(found.tables) == set(stored["tables"])
    assert {object_name(entry) for entry in found.tables} == set(stored["tables"])
    with pytest.raises(InvalidError):
        read_permissions(stored)
    assert read_names(write_names(stored["tables"]), TABLE) == ['"a.b"', '" c "', '"6"" pipe"']


def test_permissions_as_json_are_read_by_the_same_rules() -> None:
    said = {"grants": ["update", "SELECT"], "schemas": ["public "], "tables": ['"a.b"', '"orders"']}
    wanted = {"grants": ["update", "SELECT"], "schemas": ["public"], "tables": ['"a.b"', "orders"]}
    assert read_permissions(said) == wanted
    assert read_permissions(json.dumps(said)) == wanted
    with pytest.raises(InvalidError) as refusal:
        read_permissions({**said, "schemas": ["app.orders"], "tables": ["x%"]})
    assert set(refusal.value.fields) == {"schemas", "tables"}
    for text in ("[" * 5_000, '{"grants": ["SELECT"], "grants": ["ALL"], "schemas": ["a"], "tables": ["*"]}'):
        with pytest.raises(InvalidError):
            read_permissions(text)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zs", "Zl", "Zp")), min_size=1, max_size=12
)
AWKWARD = st.text("ab ,*[].\"'%;`", min_size=1, max_size=6)


@given(NAMES | AWKWARD)
def test_every_name_can_be_written_and_means_itself_alone(name: str) -> None:
    entry = write_entry(name)
    assert object_name(entry) == name
    assert not is_pattern(entry)
    try:
        assert read_entry(entry, TABLE) == entry
    except InvalidError as refusal:
        assert "nobody can see" in refusal.what  # noqa: PT017 - a selector or a filler among the letters


@given(st.lists(NAMES | AWKWARD, max_size=5))
def test_what_is_written_is_read_back(names: list[str]) -> None:
    entries = [write_entry(name) for name in names]
    try:
        assert read_names(write_names(entries), TABLE) == entries
    except InvalidError as refusal:
        assert "nobody can see" in str(refusal)  # noqa: PT017


@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text('ab.,"*%\n[]', max_size=12))
def test_whatever_is_taken_is_taken_again_unchanged(text: str) -> None:
    try:
        entries = read_names(text, TABLE)
    except InvalidError:
        return
    assert read_names(write_names(entries), TABLE) == entries
    assert [object_name(entry) for entry in entries] == [exact_name(entry) or entry for entry in entries]
