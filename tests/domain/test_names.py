"""Role names and tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.names import (
    Installation,
    RoleTag,
    check_object_name,
    is_login_role_name,
    new_login_role_name,
)


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


GRANT_ID = "6b1f0c1e-0000-4000-8000-000000000000"


def test_a_tag_is_read_back() -> None:
    portal = Installation("0123456789ab", "a key")
    comment = portal.tag("grant", GRANT_ID, "jit_ann_0123456789")
    assert comment.startswith(f"access-portal:0123456789ab:grant:{GRANT_ID}:")
    assert portal.read_tag(comment, "jit_ann_0123456789") == RoleTag("grant", GRANT_ID)
    assert not portal.is_forged(comment, "jit_ann_0123456789")
    for other in ("", None, "access-portal:x", "owner of the shop", f"access-portal:other:grant:{GRANT_ID}:{'0' * 24}"):
        assert portal.read_tag(other, "jit_ann_0123456789") is None
        assert not portal.is_forged(other, "jit_ann_0123456789"), "it does not even pretend"


def test_tags_on_servers_out_there_stay_known() -> None:
    """Who computes them in another way loses every login that was made before."""
    comment = Installation("0123456789ab", "a key").tag("grant", GRANT_ID, "jit_ann_0123456789")
    assert comment == f"access-portal:0123456789ab:grant:{GRANT_ID}:88ee763825c3536203d9495d"


def test_nobody_makes_up_or_copies_a_tag() -> None:
    portal, role = Installation("0123456789ab", "a key"), "jit_ann_0123456789"
    comment = portal.tag("grant", GRANT_ID, role)
    prefix, code = comment.rsplit(":", 1)
    forged = [
        prefix,
        f"{prefix}:{'0' * 24}",
        f"{prefix}:{code[:-1]}",
        f"{comment}\n",
        comment.replace(":grant:", ":set:"),
        comment.replace(GRANT_ID, GRANT_ID.replace("6", "7")),
        Installation("0123456789ab", "another key").tag("grant", GRANT_ID, role),
        portal.tag("grant", GRANT_ID, "jit_bob_0123456789"),
    ]
    for text in forged:
        assert portal.read_tag(text, role) is None, text
        assert portal.is_forged(text, role), text
    assert portal.is_forged(comment, "postgres"), "copied to another role"
    assert Installation("ba9876543210", "a key").read_tag(comment, role) is None


def test_the_key_is_not_shown() -> None:
    assert "a key" not in repr(Installation("0123456789ab", "a key"))


@pytest.mark.parametrize("name", ["", "a\x00b", "a\nb", "x" * 64, "\ud800"])
def test_names_that_postgresql_would_cut_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        check_object_name(name)


def test_unusual_names_are_accepted() -> None:
    for name in ('with "quotes"', "Ünïcode", "x" * 63, "a b", "%s", "$${"):
        assert check_object_name(name) == name
