"""Keeps secrets, and texts without end, out of log lines."""

from __future__ import annotations

import logging
import re

# Each begins with a fixed text and never looks at a letter twice: a filter that takes long for a long line would let
# anybody who may send a header stop the whole process. No expression here may begin with a repetition.
URL_PASSWORD = re.compile(r"(?P<user>://[^:/?#\s@]*):[^@/\s]+@")
NAMED_SECRET = re.compile(
    r"(?P<name>password|secret_access_key|secret)(?P<sep>['\"]?\s*[=:]\s*['\"]?)[^\s'\",)]+", re.I
)
LONGEST_LINE = 20_000


class SecretFormatter(logging.Formatter):
    """Masks passwords in URLs and in `password=...` texts, tracebacks too. The last line of defence, not the first.

    What is longer than LONGEST_LINE is cut, after it was masked.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text as it is written."""
        return without_secrets(super().format(record))


def without_secrets(text: str) -> str:
    """Return the text without passwords, and not much longer than LONGEST_LINE."""
    masked = NAMED_SECRET.sub(r"\g<name>\g<sep>***", URL_PASSWORD.sub(r"\g<user>:***@", text))
    if len(masked) <= LONGEST_LINE:
        return masked
    return f"{masked[:LONGEST_LINE]}… ({len(masked) - LONGEST_LINE} characters more)"
