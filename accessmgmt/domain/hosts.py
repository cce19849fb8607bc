"""Hosts and ports of servers as people and secrets write them, and the one form in which they are used."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from accessmgmt.domain.domains import read_domain
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import find_unseen, name_character, spell_out, strip_unseen

LONGEST_LIST = 1_000
HIGHEST_PORT = 65_535
ZONE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def read_hosts(text: str) -> str:
    """Return the hosts of a list, separated by commas, each as `read_host` returns it and once; "" for no text.

    Raises InvalidError with the reason.
    """
    stripped = strip_unseen(text)
    if not stripped:
        return ""
    if len(stripped) > 4 * LONGEST_LIST:
        raise _too_long()
    hosts = ",".join(dict.fromkeys(read_host(each) for each in stripped.split(",")))
    if len(hosts) > LONGEST_LIST:
        raise _too_long()
    return hosts


def same_hosts(text: str) -> str:
    """Return the hosts in the form in which they are used, or the text itself where that cannot be: to compare."""
    try:
        return read_hosts(text)
    except InvalidError:
        return text


def read_host(text: str) -> str:
    """Return a name in lower case and in ASCII (xn--…), or an IP address as it is usually written, without brackets.

    A dot at the end goes: with verify-full libpq would compare it. Raises InvalidError that proposes what to write.
    """
    host = strip_unseen(text)
    if not host:
        raise InvalidError("A host in the list is empty.", todo="Remove the comma that is too many.")
    if (place := find_unseen(host, is_exact=True)) is not None:
        raise InvalidError(
            f"The host holds a character that nobody can see: {name_character(host, place)}.",
            todo="Remove it, or type the host anew.",
        )
    if " " in host:
        raise InvalidError(f"“{spell_out(host)}” has spaces in it.", todo="Separate several hosts with commas.")
    _refuse_more_than_a_host(host)
    address = _address(host)
    if address is not None:
        return address
    _refuse_port(host)
    try:
        name = read_domain(host)
    except InvalidError as error:
        raise InvalidError(f"“{spell_out(host)}” is neither a host name nor an address.", why=error.what) from None
    if NUMBER.fullmatch(name.rpartition(".")[2]):
        raise InvalidError(
            f"“{name}” is neither a host name nor an address.", why="It ends in a number, as only addresses do."
        )
    return name


def read_port(value: object) -> int:
    """Return a port out of a number or its digits. Raises InvalidError."""
    text = strip_unseen(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal()):
        raise InvalidError("The port is not a number.", todo=f"A port is a number from 1 to {HIGHEST_PORT}.")
    digits = text.lstrip("0") or "0"
    if len(digits) > 5 or not 1 <= int(digits) <= HIGHEST_PORT:
        raise InvalidError(f"{digits[:20]} is not a port.", todo=f"A port is a number from 1 to {HIGHEST_PORT}.")
    return int(digits)


def _refuse_more_than_a_host(host: str) -> None:
    """Refuse URLs, paths and user names; what is quoted is the host alone, because a URL may hold a password."""
    if "://" in host:
        found = _host_in_url(host)
        proposal = f"Write only “{found}”" if found else "Write only the host"
        raise InvalidError("This is a URL.", todo=f"{proposal}; port, database and user name have fields of their own.")
    if host.startswith(("/", "@/")):
        raise InvalidError(
            f"“{spell_out(host)}” is a socket's folder on one machine.",
            why="The portal connects over the network.",
            todo="Write the name or the address of the server.",
        )
    if "@" in host:
        raise InvalidError(
            "There is a user name in the host.", todo=f"Write only “{spell_out(host.rpartition('@')[2])}”."
        )
    if "/" in host:
        before, _, after = host.partition("/")
        raise InvalidError(
            f"“{spell_out(host)}” is more than a host.",
            todo=f"Write “{before}” here, and “{spell_out(after)}” into the field for the database if it is one.",
        )


def _host_in_url(text: str) -> str:
    try:
        found = urlsplit(text.removeprefix("jdbc:")).hostname or ""
    except ValueError:
        return ""
    return "" if find_unseen(found) is not None else found


def _address(host: str) -> str | None:
    """Return an IP address in its usual form; None for anything else. One with a zone (fe80::1%eth0) is taken, too."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address, percent, zone = bare.partition("%")
    if percent and ZONE.fullmatch(zone) is None:
        return None
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if bare != host and found.version == 4:
        return None
    return f"{found}{percent}{zone}" if found.version == 6 or not percent else None


def _refuse_port(host: str) -> None:
    before, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdecimal() and (":" not in before or before.endswith("]")):
        shown = spell_out(before.strip("[]"))
        raise InvalidError(
            f"“{spell_out(host)}” has a port in it.", todo=f"Write “{shown}” here and {port[:20]} as the port."
        )


def _too_long() -> InvalidError:
    return InvalidError(f"The list of hosts is longer than {LONGEST_LIST:,} characters.", todo="Shorten it.")
