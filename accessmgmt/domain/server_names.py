"""Which servers a certificate is for, judged as libpq judges it with ssl_mode verify-full."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerNames:
    """The names of a certificate: DNS names and IP addresses among its alternative names, and its common name."""

    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    common_name: str = ""

    @property
    def listed(self) -> tuple[str, ...]:
        """The alternative names; where there are none, the common name stands for them."""
        return (*self.dns, *self.addresses) or ((self.common_name,) if self.common_name else ())

    def counted_for(self, host: str) -> tuple[str, ...]:
        """Return the names that are compared with a host.

        The common name counts unless there is an alternative name of the host's kind: an address beside DNS names may
        stand in it, a name beside DNS names may not. Source: libpq, pq_verify_peer_name_matches_certificate.
        """
        return (*self.dns, *self.addresses, *self._common_for(host))

    def are_for(self, host: str) -> bool:
        """Say whether libpq takes a server with these names for `host`."""
        names = (*self.dns, *self._common_for(host))
        if any("\0" in name for name in names):
            return False
        has_address = any(_same_address(each, host) for each in self.addresses)
        return has_address or any(_same_name(each, host) for each in names)

    def _common_for(self, host: str) -> tuple[str, ...]:
        of_its_kind = self.addresses if is_address(host) else self.dns
        return (self.common_name,) if self.common_name and not of_its_kind else ()


def is_address(host: str) -> bool:
    """Say whether libpq takes a host for an IP address; one with a zone (fe80::1%eth0) it does not."""
    try:
        socket.inet_aton(host)
    except OSError:
        try:
            socket.inet_pton(socket.AF_INET6, host)
        except (OSError, ValueError):
            return False
    return True


def _same_address(address: str, host: str) -> bool:
    try:
        packed = ipaddress.ip_address(address).packed
        return packed == (socket.inet_aton(host) if len(packed) == 4 else socket.inet_pton(socket.AF_INET6, host))
    except (OSError, ValueError):
        return False


def _same_name(name: str, host: str) -> bool:
    """Compare whatever the case; `*.` in front stands for one label."""
    name, host = _ascii_lower(name), _ascii_lower(host)
    if name == host:
        return True
    if len(name) < 3 or not name.startswith("*.") or len(name) > len(host) or not host.endswith(name[1:]):
        return False
    return "." not in host[: len(host) - len(name) + 1]


def _ascii_lower(text: str) -> str:
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)
