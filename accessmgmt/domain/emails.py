"""E-mail addresses as the portal stores and compares them."""

from __future__ import annotations

import re

from accessmgmt.domain.errors import InvalidError

ADDRESS = re.compile(r"[^@\s,;<>\"'()\[\]\\]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
SEPARATORS = re.compile(r"[\s,;]+")


def normalise_email(text: str) -> str:
    """Return the address trimmed and in lower case; raise InvalidError when it has no form of an address."""
    address = text.strip().lower()
    if len(address) > 254 or ADDRESS.fullmatch(address) is None or not address.isprintable():
        raise InvalidError(f"“{text.strip()}” is not an e-mail address.", todo="Write it like dev1@company.com.")
    return address


def parse_emails(text: str) -> list[str]:
    """Read a pasted list, separated by white space, commas or semicolons; sorted, without repeats.

    Raises InvalidError that names every entry without the form of an address.
    """
    good: set[str] = set()
    bad: list[str] = []
    for entry in filter(None, SEPARATORS.split(text)):
        try:
            good.add(normalise_email(entry))
        except InvalidError:
            bad.append(entry)
    if bad:
        raise InvalidError(
            f"Not an e-mail address: {', '.join(bad[:5])}{' …' if len(bad) > 5 else ''}.",
            todo="Write each like dev1@company.com, separated by commas or line breaks.",
        )
    return sorted(good)
