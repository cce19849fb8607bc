"""Names of schemas and tables as text: what is written is read back, whatever the names hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.errors import InvalidError
from accessmgmt.forms.authorizations import read_names, write_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("public", ["public"]),
        ("public, app ,,", ["public", "app"]),
        ("public\r\napp\n\n", ["public", "app"]),
        ("Order Items\nodd,name", ["Order Items", "odd,name"]),
        ("odd,name\n", ["odd,name"]),
        ("b, a, b", ["b", "a", "b"]),
        ('[" spaced ", "a,b"]', [" spaced ", "a,b"]),
    ],
)
def test_names_are_read(text: str, names: list[str]) -> None:
    assert read_names(text) == names


@pytest.mark.parametrize("text", ["a,\nb", "[1]", '["a"', '["a"] rest', "[[]]"])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        read_names(text)


@given(st.lists(st.text(min_size=1, max_size=12), max_size=5))
def test_what_is_written_is_read_back(names: list[str]) -> None:
    assert read_names(write_names(names)) == names


@given(st.lists(st.text("ab ,*[]\"'", min_size=1, max_size=5), max_size=4))
def test_awkward_names_are_read_back(names: list[str]) -> None:
    assert read_names(write_names(names)) == names
