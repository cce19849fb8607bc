"""A text column that is encrypted at rest, with keys that can be rotated."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("PORTAL_ENCRYPTION_KEYS is empty: secrets cannot be stored.")
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """Return the cipher: the first key of PORTAL_ENCRYPTION_KEYS encrypts, all of them decrypt."""
    return _cipher(tuple(settings.PORTAL_ENCRYPTION_KEYS))


class EncryptedTextField(models.TextField[str, str]):
    """Text that is a Fernet token in the database and plain text in Python. "" stays "".

    Raises ValueError when no configured key decrypts a stored token.
    """

    def get_prep_value(self, value: Any) -> str:
        """Encrypt with the newest key."""
        return cipher().encrypt(str(value).encode()).decode() if value else ""

    def from_db_value(self, value: str | None, *_: object) -> str:
        """Decrypt with whichever key fits."""
        if not value:
            return ""
        try:
            return cipher().decrypt(value.encode()).decode()
        except InvalidToken:
            raise ValueError(f"No key in PORTAL_ENCRYPTION_KEYS decrypts {self.model.__name__}.{self.name}.") from None
