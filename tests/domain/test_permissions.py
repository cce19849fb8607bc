"""The permission grammar."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.permissions import Privilege, parse_permissions

GUIDE = {"grants": ["SELECT", "INSERT", "UPDATE", "DELETE"], "schemas": ["public", "app"], "tables": ["*"]}
NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=15), min_size=1
)


def test_the_guides_example() -> None:
    found = parse_permissions(GUIDE)
    assert found.grants == ("DELETE", "INSERT", "SELECT", "UPDATE")
    assert found.in_words() == "SELECT, INSERT, UPDATE and DELETE on all tables in app, public"
    assert found == parse_permissions(json.dumps(GUIDE))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"grants": ["SELEKT"]}, "grants"),
        ({"grants": []}, "grants"),
        ({"grants": "SELECT"}, "grants"),
        ({"schemas": [""]}, "schemas"),
        ({"schemas": ["a\x00b"]}, "schemas"),
        ({"tables": ["ä" * 32]}, "tables"),
        ({"tables": None}, "tables"),
        ({"tables": [1]}, "tables"),
    ],
)
def test_each_error_names_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_permissions({**GUIDE, **change})
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize("value", ["{", "[]", 7, None, {**GUIDE, "extra": []}])
def test_what_is_no_permission_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidError):
        parse_permissions(value)


@given(
    grants=st.lists(st.sampled_from([*Privilege, "ALL"]), min_size=1),
    schemas=NAMES,
    tables=NAMES,
    shuffle=st.randoms(use_true_random=False),
)
def test_order_repeats_and_case_do_not_change_the_digest(
    grants: list[str], schemas: list[str], tables: list[str], shuffle: object
) -> None:
    first = parse_permissions({"grants": grants, "schemas": schemas, "tables": tables})
    mixed = [[g.lower() for g in grants] + grants, schemas * 2, list(tables)]
    for names in mixed:
        shuffle.shuffle(names)  # type: ignore[attr-defined]
    second = parse_permissions(dict(zip(("grants", "schemas", "tables"), mixed, strict=True)))
    assert first == second
    assert first.digest == second.digest
    assert parse_permissions(first.as_json()) == first


def test_all_is_expanded_for_the_servers_version() -> None:
    everything = parse_permissions({**GUIDE, "grants": ["all privileges"]})
    assert Privilege.MAINTAIN not in everything.privileges_on(16)
    assert Privilege.MAINTAIN in everything.privileges_on(17)


def test_what_is_named_is_given_on_every_version_and_nothing_else() -> None:
    some = parse_permissions({"grants": ["DELETE", "SELECT"], "schemas": ["app"], "tables": ["*"]})
    for version in (14, 18):
        assert some.privileges_on(version) == (Privilege.SELECT, Privilege.DELETE)


@pytest.mark.parametrize(
    ("schemas", "tables", "words"),
    [
        (["*"], ["*"], "SELECT on all tables in every schema"),
        (["b", "a"], ["y", "x"], "SELECT on x, y in a, b"),
        (["a"], ["*", "x"], "SELECT on all tables in a"),
    ],
)
def test_a_set_in_words(schemas: list[str], tables: list[str], words: str) -> None:
    assert parse_permissions({"grants": ["SELECT"], "schemas": schemas, "tables": tables}).in_words() == words


def test_capability_roles_on_servers_out_there_keep_their_names() -> None:
    found = parse_permissions({"grants": ["INSERT", "SELECT"], "schemas": ["app"], "tables": ["b", "a"]})
    assert found.capability_role_name("0123456789ab") == "jitb_5804758f0dc8df96785810a7"


def test_capability_roles_of_two_installations_differ() -> None:
    found = parse_permissions(GUIDE)
    assert found.capability_role_name("a") != found.capability_role_name("b")
    assert len(found.capability_role_name("a")) == 29
