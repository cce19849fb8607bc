"""No secret and no endless text reaches a log, and no text that a stranger sends makes writing it slow."""

from __future__ import annotations

import logging
import logging.config

import pytest
from django.conf import settings

from portal.log import LONGEST_LINE, SecretFormatter, without_secrets

SECRET = "the-planted-secret"


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach postgres://portal:{SECRET}@db.example.com:5432/portal",
        f"redis://:{SECRET}@cache:6379/0 is away",
        f"odd://user name://x:{SECRET}@host",
        f"password={SECRET}",
        f"password = '{SECRET}' in the form",
        f'{{"password": "{SECRET}"}}',
        f"aws_secret_access_key: {SECRET}",
        f"SECRET={SECRET}, and more",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    masked = without_secrets(text)
    assert SECRET not in masked
    assert "***" in masked


@pytest.mark.parametrize("text", ["http://127.0.0.1:8000/grants", "GET /?next=//a:b", "at 12:30:10 alice@company.com"])
def test_the_rest_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_a_traceback_is_masked_as_well() -> None:
    try:
        raise ValueError(f"postgres://portal:{SECRET}@db/portal")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "it failed", None, (ValueError, error, None))
    written = SecretFormatter().format(record)
    assert SECRET not in written
    assert "ValueError" in written


def test_a_long_line_is_cut_after_it_was_masked() -> None:
    written = without_secrets("x" * (LONGEST_LINE - 20) + f" a://b:{SECRET}" + SECRET * 100 + "@host " + "y" * 500_000)
    assert len(written) < LONGEST_LINE + 100
    assert SECRET not in written
    assert "characters more" in written


def test_every_handler_of_the_portal_masks() -> None:
    formatters = settings.LOGGING["formatters"]
    for name, handler in settings.LOGGING["handlers"].items():
        assert formatters[handler["formatter"]]["()"] == "portal.log.SecretFormatter", name
