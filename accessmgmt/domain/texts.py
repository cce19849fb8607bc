"""Text that people type or paste: what nobody can see in it, and the one form in which it is kept."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from typing import Any

from accessmgmt.domain.errors import InvalidError

LONGEST_TEXT = 10_000
MOST_JSON_CHARACTERS = 500_000
MOST_JSON_DEPTH = 20
JOINERS = frozenset("\u200c\u200d")
SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
BLANK_LOOKING = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters, marks and a symbol by category that are drawn as nothing."""

DRAWN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters by category that are drawn: signs above Arabic, Syriac and Kaithi numbers."""

JOINING_SCRIPTS = frozenset(
    {
        *("ARABIC", "SYRIAC", "MONGOLIAN", "NKO", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI"),
        *("ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "MYANMAR", "KHMER", "TIBETAN"),
    }
)
"""Scripts that are not spelt rightly without joiners between letters: Persian and Sinhala names have them."""

JSON_SIGNS = re.compile(r'"(?:[^"\\]|\\.)*+"?+|[\[\]{}]', re.DOTALL)


def strip_unseen(text: str) -> str:
    """Return the text without white space, and without characters that nobody can see, at both ends."""
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or is_unseen(text, start)):
        start += 1
    while end > start and (text[end - 1].isspace() or is_unseen(text, end - 1)):
        end -= 1
    return text[start:end]


def find_unseen(text: str, *, allowed: str = "", is_exact: bool = False) -> int | None:
    """Return the place of the first character that nobody can see, except for `allowed` ones.

    With `is_exact` another space than the plain one is such a character too: in a name that is compared letter by
    letter nobody can tell them apart.
    """
    if text.isascii() and text.isprintable():
        return None
    for i, sign in enumerate(text):
        if sign not in allowed and (is_unseen(text, i) or (is_exact and sign != " " and _is_space(sign))):
            return i
    return None


def is_unseen(text: str, place: int) -> bool:
    """Say whether the character there is drawn as nothing, or changes the direction of what is around it.

    Joiners and variation selectors count as seen where a script or an emoji needs them. Source: the Unicode standard,
    default ignorable code points and UAX #9.
    """
    sign = text[place]
    if sign in SELECTORS:
        return not (place and _takes_selector(text, place - 1))
    if sign in JOINERS:
        return not (0 < place < len(text) - 1 and _joins(text[place - 1]) and _joins(text[place + 1]))
    if sign in BLANK_LOOKING or 0xE0000 <= ord(sign) <= 0xE0FFF:
        return True
    return unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and sign not in DRAWN_FORMATS


def spell_out(text: str, *, most: int = 100) -> str:
    """Return the beginning of a text for a message: what nobody can see in it stands there as «U+200B»."""
    part = text[:most]
    seen = "".join(
        f"«U+{ord(sign):04X}»" if is_unseen(part, i) or (sign != " " and _is_space(sign)) else sign
        for i, sign in enumerate(part)
    )
    return seen if len(text) <= most else f"{seen}…"


def name_character(text: str, place: int) -> str:
    """Say which character stands where: "U+200B ZERO WIDTH SPACE at character 5, after “post”"."""
    sign = text[place]
    name = unicodedata.name(sign, "") or {"Cc": "a control character", "Cs": "half of a character"}.get(
        unicodedata.category(sign), ""
    )
    said = " ".join(filter(None, [f"U+{ord(sign):04X}", name]))
    line = text.count("\n", 0, place)
    start = text.rfind("\n", 0, place) + 1
    in_line = f"line {line + 1}, " if "\n" in text else ""
    where = f"{in_line}character {place - start + 1}"
    before = text[max(start, place - 12) : place]
    seen = "".join(each for i, each in enumerate(before) if not is_unseen(before, i)).strip()
    return f"{said} at {where}" + (f", after “{seen}”" if seen else "")


def unseen_error(what: str, text: str, place: int) -> InvalidError:
    """Return the refusal of a text for a character that nobody can see. `what` begins the sentence: "The name"."""
    return InvalidError(
        f"{what} holds a character that nobody can see: {name_character(text, place)}.",
        todo="Remove it, or type the text anew.",
    )


def read_line(text: str, *, what: str = "The text", most: int | None = None) -> str:
    """Return a name or another text of one line in the form in which it is kept.

    Composed (NFC), with plain spaces, without anything that nobody can see at its ends. Raises InvalidError that names
    such a character inside, or when the line is longer than `most` characters.
    """
    if len(text) > MOST_JSON_CHARACTERS:
        raise _too_long(what, most or LONGEST_TEXT)
    stripped = strip_unseen(text)
    if (place := find_unseen(stripped)) is not None:
        raise unseen_error(what, stripped, place)
    line = _composed(stripped)
    if most is not None and len(line) > most:
        raise _too_long(what, most)
    return line


def read_text(text: str, *, what: str = "The text", most: int = LONGEST_TEXT) -> str:
    """Return a text of several lines in the form in which it is kept: as `read_line`, with line feeds and tabs."""
    if len(text) > MOST_JSON_CHARACTERS:
        raise _too_long(what, most)
    stripped = strip_unseen(text.replace("\r\n", "\n").replace("\r", "\n"))
    if (place := find_unseen(stripped, allowed="\n\t")) is not None:
        raise unseen_error(what, stripped, place)
    kept = _composed(stripped)
    if len(kept) > most:
        raise _too_long(what, most)
    return kept


def read_json(text: str) -> Any:
    """Return the value of a JSON text of bounded size and depth. Raises ValueError with a sentence, also for a key
    that stands twice in one object: what is read must not depend on the reader.
    """
    if len(text) > MOST_JSON_CHARACTERS:
        raise ValueError(f"It is longer than {MOST_JSON_CHARACTERS:,} characters")
    depth = 0
    for found in JSON_SIGNS.finditer(text):
        sign = found[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > MOST_JSON_DEPTH:
            raise ValueError(f"It is nested more than {MOST_JSON_DEPTH} levels deep")
    return json.loads(text, object_pairs_hook=_each_key_once)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"The key “{twice}” stands there twice")
    return found


def _composed(text: str) -> str:
    plain = "".join(" " if _is_space(sign) else sign for sign in text)
    return unicodedata.normalize("NFC", plain)


def _is_space(sign: str) -> bool:
    return unicodedata.category(sign) == "Zs"


def _too_long(what: str, most: int) -> InvalidError:
    return InvalidError(f"{what} is longer than {most:,} characters.", todo="Shorten it.")


def _takes_selector(text: str, place: int) -> bool:
    before = text[place]
    is_keycap = before in "0123456789#*" and text[place + 2 : place + 3] == "\u20e3"
    return (
        is_keycap
        or unicodedata.category(before) in {"So", "Sk", "Sm"}
        or before in "\u203c\u2049\u3030\u303d"
        or unicodedata.name(before, "").startswith(("CJK", "MONGOLIAN"))
    )


def _joins(sign: str) -> bool:
    if sign in SELECTORS or unicodedata.category(sign) in {"So", "Sk", "Cn"}:
        return True
    return unicodedata.name(sign, "").partition(" ")[0] in JOINING_SCRIPTS
