"""Hosts as people type them."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from accessmgmt.forms.resources import check_host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "db1.internal.company.net",
        "10.0.0.7",
        "::1",
        "2001:db8::7",
        "db_1",
        "a-b.c.",
        "x.rds.amazonaws.com",
    ],
)
def test_hosts_that_are_taken(host: str) -> None:
    assert check_host(host) == host


def test_brackets_around_an_address_are_taken_off() -> None:
    assert check_host("[2001:db8::7]") == "2001:db8::7"


@pytest.mark.parametrize(
    "host",
    [
        *("", "a b", "postgres://x", "https://x/", "x:5432", "x/y", "user@x", "-x", "x..y", ".x", "x\x00", "ä.de"),
        *("a" * 64, "a." * 130 + "net", "x?sslmode=disable", "'x'", "[x]", "x;y"),
    ],
)
def test_hosts_that_are_refused(host: str) -> None:
    with pytest.raises(ValidationError):
        check_host(host)
