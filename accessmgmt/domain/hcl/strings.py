"""Text as HCL writes it: quoted literals and comments."""

import re
from typing import Final

from accessmgmt.domain.hcl.errors import HclTextError

_FORBIDDEN: Final = re.compile("[\x00\ud800-\udfff]")
_SPECIAL: Final = re.compile(r'["\\]|[$%](?=\{)')
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def check_text(text: str) -> str:
    """Return `text` unchanged.

    Raises HclTextError for NUL (no PostgreSQL name or setting can hold it) and for a lone surrogate (not UTF-8).
    """
    found = _FORBIDDEN.search(text)
    if found:
        raise HclTextError(f"A text cannot hold U+{ord(found.group()):04X} (at position {found.start()}).")
    return text


def quote(text: str) -> str:
    """Return `text` as a quoted HCL literal that evaluates to `text`.

    Raises HclTextError, see `check_text`. Source: HCL native syntax specification, "Quoted templates", and hclwrite's
    `escapeQuotedStringLit`: a backslash before quote and backslash, the template introducers `${` and `%{` doubled
    to `$${` and `%%{`, everything that does not print as an escape. A run such as `$$${` needs only its last
    dollar doubled. Terraform normalises every string to NFC when it reads it; nothing written here changes that.
    """
    check_text(text)
    doubled = _SPECIAL.sub(_escape_special, text)
    return f'"{_escape_invisible(doubled)}"'


def comment_text(text: str) -> str:
    """Return `text` fit for a one-line comment: what does not print is shown as an escape.

    Raises HclTextError, see `check_text`. Without this, a name with a newline would end the comment and speak HCL.
    """
    return _escape_invisible(check_text(text)).rstrip()


def _escape_special(found: re.Match[str]) -> str:
    character = found.group()
    return character * 2 if character in "$%" else "\\" + character


def _escape_invisible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
