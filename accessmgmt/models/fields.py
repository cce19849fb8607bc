"""A text column that is encrypted at rest, with keys that can be rotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, models, transaction
from django.db.models.functions import Cast

BATCH = 500


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("PORTAL_ENCRYPTION_KEYS is empty: secrets cannot be stored.")
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """Return the cipher: the first key of PORTAL_ENCRYPTION_KEYS encrypts, all of them decrypt."""
    return _cipher(tuple(settings.PORTAL_ENCRYPTION_KEYS))


def newest_cipher() -> MultiFernet:
    """Return the cipher of the first key alone: what it decrypts needs no new encryption."""
    return _cipher(tuple(settings.PORTAL_ENCRYPTION_KEYS[:1]))


def opens(by: MultiFernet, token: str) -> bool:
    """Say whether a cipher decrypts a stored token."""
    try:
        by.decrypt(token)
    except InvalidToken:
        return False
    return True


class EncryptedTextField(models.TextField[str, str]):
    """Text that is a Fernet token in the database and plain text in Python. "" stays "".

    Raises ValueError when no configured key decrypts a stored token.
    """

    @property
    def label(self) -> str:
        """The column as people write it: Resource.password."""
        return f"{self.model.__name__}.{self.name}"

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
            raise ValueError(f"No key in PORTAL_ENCRYPTION_KEYS decrypts {self.label}.") from None

    def tokens(self) -> Iterator[list[tuple[Any, str]]]:
        """Yield every stored token as it is, with its row's key, in batches by that key; "" is left out."""
        rows = self.model._base_manager.order_by("pk").annotate(token=Cast(self.name, models.TextField()))
        stored = rows.exclude(token="").values_list("pk", "token")
        batch = list(stored[:BATCH])
        while batch:
            yield batch
            batch = list(stored.filter(pk__gt=batch[-1][0])[:BATCH])

    def unreadable(self) -> list[Any]:
        """Return the keys of the rows whose token no configured key decrypts."""
        return [pk for batch in self.tokens() for pk, token in batch if not opens(cipher(), token)]

    def check(self, *, databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
        """Warn of secrets that cannot be read, where the database may be asked, as by `migrate` at each start."""
        found = super().check(databases=databases, **kwargs)
        if "default" not in (databases or ()):
            return found
        try:
            with transaction.atomic():
                count = len(self.unreadable())
        except DatabaseError:  # the table, or a column, is yet to be made
            return found
        if count:
            found.append(
                checks.Warning(
                    f"{count} stored secrets of {self.label} cannot be decrypted.",
                    hint="Put the key that encrypted them back into PORTAL_ENCRYPTION_KEYS, behind the newest.",
                    obj=self,
                    id="accessmgmt.W001",
                )
            )
        return found


def encrypted_fields() -> list[EncryptedTextField]:
    """Return every encrypted column of the portal."""
    columns = [field for model in apps.get_models() for field in model._meta.local_fields]
    return [field for field in columns if isinstance(field, EncryptedTextField)]
