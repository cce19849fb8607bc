"""Whose network address a request came from, when it came through proxies."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
UNIX = "unix"
MOST_HOPS = 32
IPV6_SITE_BITS = 64


def read_proxies(texts: Sequence[str]) -> tuple[Network | str, ...]:
    """Read addresses and networks of proxies; `unix` stands for a socket. Raises ValueError that names a bad one."""
    return tuple(UNIX if text.strip() == UNIX else ip_network(text.strip()) for text in texts if text.strip())


def client_address(peer: str, forwarded_for: str, proxies: Sequence[Network | str]) -> str:
    """Return the address of the client: the peer's own, or what trusted proxies say in X-Forwarded-For.

    The header is read from its end, where the nearest proxy has written, and only as far as each writer is trusted:
    what a client puts in front of it changes nothing. `peer` is "" for a request over a unix socket.
    """
    address = _read(peer)
    found = str(address) if address else peer[:64]
    for hop in reversed(forwarded_for.rsplit(",", MOST_HOPS)[-MOST_HOPS:] if forwarded_for else []):
        if not _is_trusted(address, proxies):
            break
        address = _read(hop)
        if address is None:  # not an address: whoever sent it is hidden behind the last one that is known
            break
        found = str(address)
    return found


def site_of(address: str) -> str:
    """Return what one customer of a provider has: an IPv4 address, or the first 64 bits of an IPv6 one."""
    read = _read(address)
    if isinstance(read, IPv6Address):
        return str(ip_network((read, IPV6_SITE_BITS), strict=False))
    return str(read) if read else address


def _is_trusted(address: Address | None, proxies: Sequence[Network | str]) -> bool:
    if address is None:
        return UNIX in proxies
    return any(not isinstance(network, str) and address in network for network in proxies)


def _read(text: str) -> Address | None:
    """Read an address, which some proxies write with a port: 192.0.2.1:4711, [2001:db8::1]:4711."""
    text = text.strip()[:64]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
