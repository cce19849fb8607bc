"""Names of machines and mail domains with letters of every script, in the spelling that the network uses (xn--…)."""

from __future__ import annotations

import re
import unicodedata

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import find_unseen, name_character

ASCII_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})
LONGEST_DOMAIN = 253
LONGEST_LABEL = 63
PREFIX = "xn--"
LETTERS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
"""Scripts whose letters look like one another's: two of them in one word are a trick, not a name."""


def read_domain(text: str) -> str:
    """Return a domain in lower case, letters beyond ASCII in their xn-- form, without a dot at its end.

    Both spellings of a domain give the same text. Letters keep their own spelling (ß is not ss), as in RFC 5891 and in
    today's browsers. Raises InvalidError with the reason.
    """
    domain = text.translate(DOTS).removesuffix(".")
    if (place := find_unseen(domain, is_exact=True)) is not None:
        raise InvalidError(f"There is a character that nobody can see: {name_character(domain, place)}.")
    if len(domain) > 4 * LONGEST_DOMAIN:
        raise _too_long()
    found = ".".join(_read_label(label) for label in domain.split("."))
    if len(found) > LONGEST_DOMAIN:
        raise _too_long()
    return found


def show_domain(domain: str) -> str:
    """Return a domain as people read it: its xn-- labels as the letters that they stand for."""
    return ".".join(_show_label(label) for label in domain.split("."))


def look_alikes(text: str) -> tuple[str, ...]:
    """Return the scripts of a word when it mixes some whose letters look alike; nothing otherwise."""
    names = (unicodedata.name(sign, "").partition(" ")[0] for sign in text if sign.isalpha())
    found = sorted(ALIKE.intersection(names))
    return tuple(found) if len(found) > 1 else ()


def lower(text: str) -> str:
    """Return a text in lower case, letter by letter: a sigma is the same one wherever it stands."""
    return "".join(sign.lower() for sign in text)


def _read_label(label: str) -> str:
    if not label:
        raise InvalidError("Two dots follow one another, or one stands in front.")
    lowered = lower(label)
    if lowered.isascii():
        if lowered.startswith(PREFIX):
            return _checked_xn(lowered)
        if ASCII_LABEL.fullmatch(lowered) is None:
            raise InvalidError(_why_not(lowered))
        return lowered
    letters = unicodedata.normalize("NFC", lower(unicodedata.normalize("NFKC", label)))
    if letters.isascii():  # such as letters of full width
        return _read_label(letters)
    _check_letters(letters)
    encoded = PREFIX + letters.encode("punycode").decode()
    if len(encoded) > LONGEST_LABEL:
        raise InvalidError(f"“{label}” is longer than {LONGEST_LABEL} characters.")
    return encoded


def _checked_xn(label: str) -> str:
    """Return an xn-- label that is spelt as we would spell it: no domain has two such spellings."""
    letters = _decoded(label)
    if letters is None or len(label) > LONGEST_LABEL:
        raise InvalidError(f"“{label}” is not the spelling of any letters.")
    _check_letters(letters)
    return label


def _decoded(label: str) -> str | None:
    try:
        letters = label.removeprefix(PREFIX).encode("ascii").decode("punycode")
        again = PREFIX + letters.encode("punycode").decode()
    except (UnicodeError, ValueError, OverflowError):
        return None
    is_kept = not letters.isascii() and letters == unicodedata.normalize("NFC", lower(letters))
    return letters if is_kept and again == label else None


def _check_letters(letters: str) -> None:
    for sign in letters:
        if sign != "-" and unicodedata.category(sign) not in LETTERS:
            raise InvalidError(f"{name_character(sign, 0).partition(' at ')[0]} cannot stand in a domain.")
    if letters[0] == "-" or letters[-1] == "-" or unicodedata.category(letters[0]).startswith("M"):
        raise InvalidError(f"“{letters}” begins or ends with what stands only between letters.")
    if scripts := look_alikes(letters):
        raise InvalidError(f"“{letters}” mixes letters that look alike: {' and '.join(map(str.title, scripts))}.")


def _show_label(label: str) -> str:
    if not label.startswith(PREFIX):
        return label
    letters = _decoded(label)
    try:
        return letters if letters is not None and _read_label(letters) == label else label
    except InvalidError:
        return label


def _why_not(label: str) -> str:
    if len(label) > LONGEST_LABEL:
        return f"“{label[:20]}…” is longer than {LONGEST_LABEL} characters."
    if label[0] == "-" or label[-1] == "-":
        return f"“{label}” begins or ends with a hyphen."
    odd = next((sign for sign in label if not (sign.isalnum() or sign in "-_")), "")
    said = "a space" if odd == " " else f"“{odd}”"
    return f"There is {said} in the domain." if odd else f"“{label}” is not part of a domain."


def _too_long() -> InvalidError:
    return InvalidError(f"The domain is longer than {LONGEST_DOMAIN} characters.")
