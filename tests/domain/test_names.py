"""Role names, tags, e-mail addresses."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.emails import normalise_email, parse_emails
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.names import RoleTag, check_object_name, is_login_role_name, new_login_role_name, parse_tag


@given(st.text(max_size=80))
def test_a_login_role_is_named_after_the_person_whatever_the_address(local_part: str) -> None:
    name = new_login_role_name(f"{local_part}@company.com")
    assert re.fullmatch(r"jit_[a-z0-9_]{1,20}_[a-z0-9]{10}", name)
    assert is_login_role_name(name)


def test_the_person_is_visible_unless_names_are_opaque() -> None:
    assert new_login_role_name("Ann.O'Neil@company.com").startswith("jit_ann_o_neil_")
    assert re.fullmatch(r"jit_[a-z0-9]{16}", new_login_role_name("ann@company.com", opaque=True))
    assert len({new_login_role_name("ann@company.com") for _ in range(500)}) == 500


@pytest.mark.parametrize(
    "name", ["public", "none", "pg_read_all_data", "postgres", "jit_", 'jit_"; DROP', "JIT_ann_0123456789"]
)
def test_foreign_names_are_not_login_roles(name: str) -> None:
    assert not is_login_role_name(name)


def test_a_tag_is_read_back() -> None:
    tag = RoleTag("0123456789ab", "grant", "6b1f0c1e-0000-4000-8000-000000000000")
    assert parse_tag(str(tag)) == tag
    assert parse_tag("access-portal:x") is None
    assert parse_tag(None) is None


@pytest.mark.parametrize("name", ["", "a\x00b", "a\nb", "x" * 64, "\ud800"])
def test_names_that_postgresql_would_cut_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        check_object_name(name)


def test_unusual_names_are_accepted() -> None:
    for name in ('with "quotes"', "Ünïcode", "x" * 63, "a b", "%s", "$${"):
        assert check_object_name(name) == name


@pytest.mark.parametrize(
    "text", ["", "ann", "ann@", "@company.com", "a b@company.com", "ann@company", "ann@-x.com", "a@b@c.com"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        normalise_email(text)


def test_a_pasted_list_is_read() -> None:
    assert parse_emails("Dev2@company.com, dev1@company.com;\n dev2@company.com") == [
        "dev1@company.com",
        "dev2@company.com",
    ]
    with pytest.raises(InvalidError, match="nonsense"):
        parse_emails("dev1@company.com nonsense")
