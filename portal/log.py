"""Keeps secrets out of log lines."""

from __future__ import annotations

import logging
import re

URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^:/?#\s]*):[^@/\s]+@", re.IGNORECASE)
NAMED_SECRET = re.compile(
    r"(?P<name>password|secret_access_key|secret)(?P<sep>['\"]?\s*[=:]\s*['\"]?)[^\s'\",)]+", re.I
)


class SecretFilter(logging.Filter):
    """Masks passwords in URLs and in `password=...` texts. The last line of defence, not the first."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's message without secrets; always keep the record."""
        message = record.getMessage()
        masked = NAMED_SECRET.sub(r"\g<name>\g<sep>***", URL_PASSWORD.sub(r"\g<scheme>:***@", message))
        if masked != message:
            record.msg, record.args = masked, None
        return True
