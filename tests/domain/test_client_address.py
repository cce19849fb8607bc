"""The address that tries are counted by: what a client writes into a header never changes it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from accessmgmt.domain.client_address import MOST_HOPS, client_address, read_proxies, site_of

PROXIES = read_proxies(["10.0.0.0/8", "2001:db8:ffff::/48", "unix"])


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("p" * 65, "", "p" * 64),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7, 10.2.0.1", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9, 198.51.100.7, 10.2.0.1", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9, 10.2.0.1", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, , 10.2.0.1", "10.2.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:ffff::1", "[2001:db8::7]:443", "2001:db8::7"),
        ("2001:db8:fffe::1", "[2001:db8::7]:443", "2001:db8:fffe::1"),
        ("", "198.51.100.7", "198.51.100.7"),
    ],
)
def test_the_address_is_what_trusted_proxies_say(peer: str, header: str, expected: str) -> None:
    assert client_address(peer, header, PROXIES) == expected


def test_without_a_trusted_proxy_the_header_says_nothing() -> None:
    assert client_address("10.0.0.1", "198.51.100.7", ()) == "10.0.0.1"
    assert client_address("", "198.51.100.7", ()) == ""


def test_a_very_long_header_is_read_only_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many hops a header names and however long one is, the same little of it is looked at."""
    last = "10.1.1.1," * (MOST_HOPS - 1) + "10.2.2.2"
    assert client_address("10.0.0.1", f"198.51.100.7,{last}", PROXIES) == "10.1.1.1", "what stands before is not read"
    assert client_address("10.0.0.1", f"198.51.100.7,{last.partition(',')[2]}", PROXIES) == "198.51.100.7"
    assert client_address("10.0.0.1", "10.1.1.1," * 20_000 + "198.51.100.7", PROXIES) == "198.51.100.7"
    read = Mock(side_effect=ValueError)
    monkeypatch.setattr("accessmgmt.domain.client_address.ip_address", read)
    assert client_address("10.0.0.1", "x" * 100_000, ("unix",)) == "10.0.0.1"
    assert client_address("", "x" * 100_000, ("unix",)) == ""
    assert max(len(call.args[0]) for call in read.call_args_list) <= 64


def test_a_bad_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/99"):
        read_proxies(["10.0.0.0/99"])


def test_an_ipv6_customer_is_one_site() -> None:
    assert site_of("2001:db8::1") == site_of("2001:db8::ffff:1") != site_of("2001:db8:0:1::1")
    assert site_of("192.0.2.1") != site_of("192.0.2.2")
    assert site_of("::ffff:192.0.2.1") == "192.0.2.1", "however it is written"
    assert site_of("not an address") == "not an address"
    assert site_of("") == ""
