"""Hosts and ports as people and secrets write them."""

# ruff: noqa: RUF001 - letters that look alike are what is tested

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.hosts import read_host, read_hosts, read_port, same_hosts
from tests.limits import cpu_limit


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"),
        ("db1.internal.company.net", "db1.internal.company.net"),
        ("DB1.Internal.Company.NET", "db1.internal.company.net"),
        ("x.rds.amazonaws.com.", "x.rds.amazonaws.com"),
        (" db1\n", "db1"),
        ("\ufeffdb1\u200b", "db1"),
        ("10.0.0.7", "10.0.0.7"),
        ("::1", "::1"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:0DB8:0000::0007", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("db_1", "db_1"),
        ("a-b.c", "a-b.c"),
        ("1.db", "1.db"),
        ("datenbank.müller.de", "datenbank.xn--mller-kva.de"),
        ("ｄｂ１", "db1"),
    ],
)
def test_a_host_is_taken_in_one_form(text: str, host: str) -> None:
    assert read_host(text) == host
    assert read_host(host) == host
    assert same_hosts(text) == host


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", "Separate several hosts with commas"),
        ("postgres://portal:s3cret@db1:5432/app", "Write only “db1”"),
        ("jdbc:postgresql://db1:5432/app", "Write only “db1”"),
        ("https://", "Write only the host"),
        ("http://[::1", "Write only the host"),
        ("db1:5432", "Write “db1” here and 5432 as the port"),
        ("10.0.0.7:5432", "Write “10.0.0.7” here and 5432 as the port"),
        ("[::1]:5432", "Write “::1” here and 5432 as the port"),
        ("db1/app", "Write “db1” here, and “app” into the field for the database"),
        ("portal@db1", "Write only “db1”"),
        ("/run/postgresql", "socket's folder"),
        ("-x", "begins or ends with a hyphen"),
        ("x..y", "Two dots"),
        (".x", "Two dots"),
        ("x\x00", "x"),
        ("x\x00y", "U+0000"),
        ("d\u200bb", "U+200B ZERO WIDTH SPACE at character 2"),
        ("d\u00a0b", "U+00A0 NO-BREAK SPACE"),
        ("127.1", "ends in a number"),
        ("0x7f.0.0.0x1", "ends in a number"),
        ("2130706433", "ends in a number"),
        ("10.0.0.256", "ends in a number"),
        ("[x]", "in the domain"),
        ("[10.0.0.7]", "in the domain"),
        ("10.0.0.7%eth0", "in the domain"),
        ("fe80::1%", "in the domain"),
        ("x;y", "in the domain"),
        ("'x'", "in the domain"),
        ("x?sslmode=disable", "in the domain"),
        ("dаtabase", "mixes letters that look alike"),
        ("a" * 64, "longer than 63 characters"),
        ("a." * 130 + "net", "longer than 253 characters"),
    ],
)
def test_what_is_no_host_is_refused_with_what_to_write(text: str, words: str) -> None:
    if words == text.strip("\x00"):
        assert read_host(text) == words
        return
    with pytest.raises(InvalidError) as refusal:
        read_hosts(text)
    assert words in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_list_of_hosts() -> None:
    assert read_hosts(" DB1 , db1,10.0.0.7,\n[::1] ") == "db1,10.0.0.7,::1"
    assert read_hosts(" \u200b ") == ""
    with pytest.raises(InvalidError, match="comma that is too many"):
        read_hosts("db1,,db2")
    with pytest.raises(InvalidError, match="longer than 1,000"):
        read_hosts(",".join(f"db{number}.company.net" for number in range(100)))


@pytest.mark.parametrize(
    ("value", "port"),
    [("5432", 5432), (5432, 5432), (" 05432\u200b", 5432), ("1", 1), (65535, 65535), ("0005432", 5432)],
)
def test_ports_that_are_taken(value: object, port: int) -> None:
    assert read_port(value) == port


@pytest.mark.parametrize(
    "value",
    ["", "0", 0, -1, "-1", "+5432", "65536", 99999, "99999", "5432.0", 5432.0, True, None, "５４３２", "5 432", "5_432",
     "x", [5432], "9" * 5_000],
)  # fmt: skip
def test_ports_that_are_refused(value: object) -> None:
    with pytest.raises(InvalidError, match="from 1 to 65535"):
        read_port(value)


@given(st.ip_addresses())
def test_addresses_stay_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert ipaddress.ip_address(read_host(str(address))) == address


@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.text("ab.:/@[]%-_, 1xä", max_size=12))
def test_whatever_is_taken_is_taken_again_unchanged(text: str) -> None:
    try:
        hosts = read_hosts(text)
    except InvalidError as refusal:
        assert refusal.what  # noqa: PT017
        return
    assert read_hosts(hosts) == hosts
    assert hosts.isascii()


@pytest.mark.parametrize("piece", ["a.", "xn--", "ä", ":", "[", "%", "://", "@", ",", "\u200b", "-"])
def test_the_time_to_read_is_bounded(piece: str) -> None:
    """A list that is too long is not even split; one host takes time in proportion to its length."""
    long = "a" + piece * (1_000_000 // len(piece)) + "b"
    with pytest.raises(InvalidError, match=r"The list of hosts is longer than 1,000 characters"):
        read_hosts(long)
    with cpu_limit("reading a host", seconds=30), pytest.raises(InvalidError):
        read_host(long)
