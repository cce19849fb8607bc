"""How hard a person's password is to guess, in words that help to find a better one."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zxcvbn import zxcvbn

LONGEST_PASSWORD = 200
SHORTEST_PASSWORD = 12
STRONG = 4
"""The best of zxcvbn's five scores: more than ten thousand million guesses."""
MOST_LOOKED_AT = 64
MOST_SIGNS_FOR_LETTERS = 6
SIGNS_FOR_LETTERS = frozenset("4@8({[<36917|!0$5+%2")
NO_SIGN = "\x01"
WORDS_OF_THE_PRODUCT = ("access", "accessportal", "portal", "postgres", "postgresql", "database", "grant", "company")
SHORTEST_WORD = 3
ADVICE = "Write three or four words that do not belong together, or a sentence that only you would write."

_one_at_a_time = threading.Lock()  # zxcvbn keeps the words of the person in a variable that all threads share


@dataclass(frozen=True, slots=True)
class Weakness:
    """Why a password is not taken, and what to do."""

    why: str
    todo: str = ADVICE


def find_weakness(password: str, known: Iterable[str]) -> Weakness | None:
    """Return why a password is too easy to guess, None when it is not.

    `known` are texts that others know of the person and the place: names, addresses. Their words count for nothing,
    nor do repetitions, sequences, rows of keys, dates, and common passwords, also with signs in place of letters.
    """
    if len(password) > LONGEST_PASSWORD:
        return Weakness(f"It is longer than {LONGEST_PASSWORD} characters.", "Write a shorter one.")
    words = _words(known)
    found = _look(password, words)
    own = {part["matched_word"] for part in found["sequence"] if part.get("dictionary_name") == "user_inputs"}
    if found["score"] >= STRONG:
        own = {word for word in words if word in password.lower()}
        if not own or _look(_without(password, own), words)["score"] >= STRONG:
            return None
    if own:
        return Weakness(f"“{min(own, key=lambda word: (-len(word), word))}” is known of you or of this site.")
    warning = str(found["feedback"]["warning"])
    return Weakness(f"It is easy to guess. {warning}".strip())


def _look(password: str, words: set[str]) -> dict[str, Any]:
    with _one_at_a_time:
        found: dict[str, Any] = zxcvbn(_bounded(password), sorted(words), max_length=MOST_LOOKED_AT)
    return found


def _without(password: str, words: set[str]) -> str:
    """Return what is left of a password that holds words which others know."""
    longest_first = sorted(words, key=len, reverse=True)
    lowered = password.lower()
    shown = password if len(lowered) == len(password) else lowered
    rest, place = [], 0
    while place < len(lowered):
        found = next((word for word in longest_first if word and lowered.startswith(word, place)), "")
        rest.append("" if found else shown[place])
        place += len(found) or 1
    return "".join(rest)


def _bounded(password: str) -> str:
    """Keep the look at a password short: zxcvbn tries every reading of signs that stand for letters (4, @, $ ...)."""
    text = password[:MOST_LOOKED_AT]
    signs = list(dict.fromkeys(sign for sign in text if sign in SIGNS_FOR_LETTERS))
    return text.translate({ord(sign): NO_SIGN for sign in signs[MOST_SIGNS_FOR_LETTERS:]})


def _words(known: Iterable[str]) -> set[str]:
    texts = [text.lower() for text in known]
    parts = {part for text in texts for part in re.split(r"[\W_]+", text)}
    return {word for word in {*texts, *parts, *WORDS_OF_THE_PRODUCT} if len(word) >= SHORTEST_WORD}
