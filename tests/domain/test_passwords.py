"""Passwords that somebody guesses are refused with the reason, whatever they look like; others are taken."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from accessmgmt.domain.passwords import SIGNS_FOR_LETTERS, find_weakness
from tests.limits import cpu_limit

ALICE = ("alice.developer@company.com", "Alice Developer", "portal.example.com")


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "abcabcabcabc",
        "abcdefghijkl",
        "123456789012",
        "qwertyuiop[]",
        "zaqwsxcderfv",
        "1qaz2wsx3edc",
        "password1234",
        "P@ssw0rd1234",
        "letmeinletmein",
        "iloveyouforever",
        "Summer2026!!!",
        "hunter2-hunter2",
        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
)
def test_what_everybody_guesses_is_refused(password: str) -> None:
    weakness = find_weakness(password, ALICE)
    assert weakness is not None
    assert weakness.why
    assert "words" in weakness.todo


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("alice.developer", "developer"),
        ("AliceDeveloper1", "developer"),
        ("alice.developer@company.com", "alice.developer@company.com"),
        ("4l1c3-D3v3l0p3r", "developer"),
        ("AccessPortal2026!", "accessportal"),
        ("Postgres-2026!", "postgres"),
        ("example-portal-1", "example"),
    ],
)
def test_words_that_others_know_count_for_nothing(password: str, word: str) -> None:
    weakness = find_weakness(password, ALICE)
    assert weakness is not None
    assert f"“{word}”" in weakness.why


@pytest.mark.parametrize(
    "password",
    [
        "seven-green-lanterns-hum",
        "correct-horse-battery-1",
        "my dog ate two trams",
        "kT9#vQ2!mZ7p",
        "grüne Äpfel im Mai 7",
        "alice has two green trams",
    ],
)
def test_what_nobody_guesses_is_taken(password: str) -> None:
    assert find_weakness(password, ALICE) is None


def test_the_same_words_are_good_for_somebody_else() -> None:
    assert find_weakness("olaf-zwieback-42", ["olaf@company.com", "Olaf Zwieback"]) is not None
    assert find_weakness("olaf-zwieback-42", ALICE) is None


def test_a_password_is_not_longer_than_a_form_takes() -> None:
    rng = random.Random(1)
    long = "".join(rng.choice("abcdefghijklmnop ") for _ in range(201))
    assert "longer than 200" in find_weakness(long, ALICE).why  # type: ignore[union-attr]
    assert find_weakness(long[:200], ALICE) is None


def test_nobody_keeps_the_portal_busy_with_a_password() -> None:
    rng = random.Random(2)
    signs = sorted(SIGNS_FOR_LETTERS)
    worst = ["".join(signs) * 10, "4@8({[<369&#!|10$5+7%2" * 9, "1990" * 50, "aA1!" * 50, "qwer" * 50]
    worst += ["".join(rng.choice(signs + list("passwordie")) for _ in range(200)) for _ in range(20)]
    with cpu_limit("looking at passwords"):
        for password in worst:
            find_weakness(password, ALICE)


def test_the_words_of_one_person_are_not_those_of_another_at_the_same_moment() -> None:
    people = (["olaf-zwieback@company.com"], ["grace-hopper@company.com"])
    passwords = ("0l4fzw13b4ck99", "H0pp3rgr4c3!!9")  # signs for letters: only the look at the words finds them

    def ask(number: int) -> tuple[bool, bool]:
        person = people[number % 2]
        own, other = passwords[number % 2], passwords[1 - number % 2]
        return find_weakness(own, person) is not None, find_weakness(other, person) is not None

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(200))) == {(True, False)}
    finally:
        sys.setswitchinterval(before)
