"""E-mail addresses: one spelling for each, in which the portal stores and compares them, and how they are read.

The domain is kept as the network spells it (xn--…), in lower case. The part before the @ is kept in normal form (NFKC)
and in lower case; letters of every script are taken, because some people have no other address, but not of two scripts
that look alike. What stands after a plus sign belongs to the address: it may be another person's.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from accessmgmt.domain.domains import look_alikes, lower, read_domain, show_domain
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import find_unseen, name_character, spell_out, strip_unseen

LONGEST_ADDRESS = 254
LONGEST_LOCAL_BYTES = 64
MOST_CHARACTERS = 4_000
MOST_LAYERS = 5
EXAMPLE = "Write it like dev1@company.com."
ATOM_SIGNS = frozenset("!#$%&'*+-/=?^_`{|}~.")
AROUND = '"“”„‟«»\u2018\u2019\u201a\u201b<>()[],;'
AFTER = ".:!?*"
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\uff07", "'"))  # as text programs curl it
MAILTO = re.compile(r"mailto:(?://)?", re.IGNORECASE)
QUOTED_LOCAL = re.compile(r'"([^"\\@\s]+)"@')


def read_address(text: str) -> str:
    """Return the one address of a text in the spelling in which it is stored.

    Takes what stands around an address where people copy it from: `Jane <a@b.com>`, `mailto:a@b.com?subject=…`, quotes,
    a dot at the end, characters that nobody can see. Raises InvalidError with the reason.
    """
    bare = _bare(text)
    try:
        return _canonical(bare)
    except InvalidError as error:
        raise InvalidError(f"“{spell_out(bare)}” is not an e-mail address.", why=error.what, todo=EXAMPLE) from None


def same_address(text: str) -> str:
    """Return the spelling to look an address up by: that of `read_address`, or the text itself where there is none."""
    try:
        return read_address(text)
    except InvalidError:
        return text.strip().lower()[:LONGEST_ADDRESS]


def show_address(email: str) -> str:
    """Return a stored address as people read it, with the letters of its domain."""
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{show_domain(domain)}"


def search_spelling(text: str) -> str:
    """Return what to look for in stored addresses when somebody types a domain, or a part of one, with its letters."""
    before, at, domain = text.rpartition("@")
    if domain.isascii():
        return text
    try:
        return f"{before}{at}{read_domain(domain)}"
    except InvalidError:
        return text


def _bare(text: str) -> str:
    """Take off what stands around an address, never what may belong to it."""
    bare = strip_unseen(text)
    name, opening, address = bare.rpartition("<")
    if opening and "@" not in name:
        bare = address
    for _ in range(MOST_LAYERS if len(bare) <= MOST_CHARACTERS else 0):
        before = bare
        begun = bare if QUOTED_LOCAL.match(bare) else bare.lstrip(AROUND)
        bare = strip_unseen(begun.rstrip(AROUND + AFTER))
        if bare.startswith("'") and bare.endswith("'"):
            bare = bare[1:-1]
        if found := MAILTO.match(bare):
            bare = unquote(bare[found.end() :].partition("?")[0])
        if bare == before:
            break
    return bare


def _canonical(bare: str) -> str:
    if not bare:
        raise InvalidError("Nothing is written.")
    if len(bare) > MOST_CHARACTERS:
        raise InvalidError(f"It is longer than {LONGEST_ADDRESS} characters.")
    if (place := find_unseen(bare, is_exact=True)) is not None:
        raise InvalidError(f"It holds a character that nobody can see: {name_character(bare, place)}.")
    local, at, domain = bare.rpartition("@")
    if not at:
        raise InvalidError("There is no @ in it.")
    address = f"{_read_local(local)}@{_read_mail_domain(domain)}"
    if len(address) > LONGEST_ADDRESS:
        raise InvalidError(f"It is longer than {LONGEST_ADDRESS} characters.")
    return address


def _read_mail_domain(domain: str) -> str:
    if not domain:
        raise InvalidError("Nothing stands after the @.")
    found = read_domain(domain)
    labels = found.split(".")
    if len(labels) == 1:
        raise InvalidError("There is no dot after the @.")
    if labels[-1].isdecimal() or len(labels[-1]) == 1:
        raise InvalidError(f"“{labels[-1]}” is not the end of a domain.")
    return found


def _read_local(local: str) -> str:
    if found := QUOTED_LOCAL.fullmatch(f"{local}@"):
        local = found[1]  # quotes that say nothing: the same address without them
    local = unicodedata.normalize("NFKC", lower(unicodedata.normalize("NFKC", local.translate(APOSTROPHES))))
    if not local:
        raise InvalidError("Nothing stands before the @.")
    if "@" in local:
        raise InvalidError("There is more than one @ in it.")
    if local.startswith("."):
        raise InvalidError("It begins with a dot.")
    if local.startswith("'"):
        raise InvalidError("It begins with an apostrophe.")
    if local.endswith("."):
        raise InvalidError("There is a dot before the @.")
    if ".." in local:
        raise InvalidError("Two dots follow one another.")
    for sign in local:
        if not (sign in ATOM_SIGNS or unicodedata.category(sign) in {"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}):
            said = "a space" if sign.isspace() else f"“{sign}”"
            raise InvalidError(f"There is {said} in it.")
    if unicodedata.category(local[0]).startswith("M"):
        raise InvalidError("It begins with an accent that belongs to no letter.")
    if scripts := look_alikes(local):
        raise InvalidError(f"It mixes letters that look alike: {' and '.join(map(str.title, scripts))}.")
    if len(local.encode()) > LONGEST_LOCAL_BYTES:
        raise InvalidError(f"What stands before the @ is longer than {LONGEST_LOCAL_BYTES} bytes.")
    return local
