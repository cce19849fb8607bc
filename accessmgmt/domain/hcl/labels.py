"""Terraform labels for names that people chose."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from accessmgmt.domain.hcl.errors import DuplicateNameError
from accessmgmt.domain.hcl.strings import check_text

_MAX_LENGTH: Final = 64
_DIGEST_LENGTH: Final = 8
# Letters without a decomposition that have an accepted ASCII spelling.
_SPELLINGS: Final = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
)


def order_key(name: str) -> tuple[str, str]:
    """Return the sort key of a name in an export: letter case last, and never a tie between different names."""
    return name.casefold(), name


def base_label(name: str, kind: str) -> str:
    """Return the label that `name` asks for: lower snake case ASCII, at most 64 characters.

    `kind` (an identifier such as `resource`) stands before a leading digit and in for a name without any ASCII form.
    A name that loses letters, or is cut, gets eight hex digits of its SHA-256, so that its label stays its own.
    Raises HclTextError for a name that HCL cannot hold. Source: HCL identifiers; Terraform allows letters,
    digits, `_` and `-`, and no digit first.
    """
    check_text(name)
    spelled = unicodedata.normalize("NFKD", name.casefold().translate(_SPELLINGS)).casefold()
    letters = [letter for letter in spelled if not unicodedata.combining(letter)]
    is_lossy = any(letter.isalnum() and not letter.isascii() for letter in letters)
    slug = re.sub(r"[^a-z0-9]+", "_", "".join(letters)).strip("_")
    if not slug:
        slug, is_lossy = kind, True
    elif slug[0].isdigit():
        slug = f"{kind}_{slug}"
    if not is_lossy and len(slug) <= _MAX_LENGTH:
        return slug
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{slug[: _MAX_LENGTH - _DIGEST_LENGTH - 1].rstrip('_')}_{digest}"


def assign_labels(names: Iterable[str], kind: str) -> dict[str, str]:
    """Return a label for each name, no two alike, in the order of `order_key`.

    Of the names that ask for one label, the one spelt exactly so gets it, else the first in order; the others get
    `_2`, `_3` and so on, skipping what some name asks for itself. A label thus depends only on names that ask for the
    same, or for such a number. Raises DuplicateNameError when a name comes twice, and see `base_label`.
    """
    by_base: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for name in sorted(names, key=order_key):
        if name in seen:
            raise DuplicateNameError(f"Two objects are called {name!r} ({kind}).")
        seen.add(name)
        by_base[base_label(name, kind)].append(name)
    labels: dict[str, str] = {}
    taken = set(by_base)
    for base in sorted(by_base):
        first, *others = sorted(by_base[base], key=lambda name: (name != base, order_key(name)))
        labels[first] = base
        number = 2
        for name in others:
            while f"{base}_{number}" in taken:
                number += 1
            labels[name] = f"{base}_{number}"
            taken.add(labels[name])
    return {name: labels[name] for name in sorted(labels, key=order_key)}
