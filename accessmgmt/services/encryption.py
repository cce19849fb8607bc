"""Secrets at rest: encrypting all of them with the newest key, and finding those that no key opens."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models import Value
from django.db.models.functions import Cast

from accessmgmt.models.fields import EncryptedTextField, cipher, encrypted_fields, newest_cipher, opens

logger = logging.getLogger(__name__)
COUNTED_EVERY_SECONDS = 3_600.0
RECOUNTED_AFTER_SECONDS = 60.0

_counted: tuple[float, int] | None = None


@dataclass(slots=True)
class Reencryption:
    """What came of it: how many secrets got the newest key, how many had it, and where those are that no key opens.

    `unreadable` are (column as "Model.column", primary key of the row).
    """

    renewed: int = 0
    kept: int = 0
    unreadable: list[tuple[str, Any]] = field(default_factory=list)


def reencrypt_secrets() -> Reencryption:
    """Encrypt every stored secret with the newest key; run it again whenever it was interrupted.

    A secret that changes meanwhile is left to whoever changed it: a token is replaced only by its own new form.
    """
    report = Reencryption()
    for column in encrypted_fields():
        for batch in column.tokens():
            for pk, token in batch:
                _reencrypt(column, pk, token, report)
    return report


def _reencrypt(column: EncryptedTextField, pk: Any, token: str, report: Reencryption) -> None:
    if opens(newest_cipher(), token):
        report.kept += 1
    elif not opens(cipher(), token):
        report.unreadable.append((column.label, pk))
    else:
        renewed = Value(cipher().rotate(token).decode(), models.TextField())
        stored = column.model._base_manager.annotate(token=Cast(column.name, models.TextField()))
        report.renewed += stored.filter(pk=pk, token=token).update(**{column.name: renewed})


def unreadable_count() -> int:
    """Return how many stored secrets no configured key opens: counted once an hour in each process.

    While there are some they are counted again after a minute, so that a mend is seen.
    """
    global _counted
    now = time.monotonic()
    if _counted is not None:
        at, count = _counted
        if now - at < (RECOUNTED_AFTER_SECONDS if count else COUNTED_EVERY_SECONDS):
            return count
    count = sum(len(column.unreadable()) for column in encrypted_fields())
    if count:
        logger.error("%d stored secrets cannot be decrypted: a key is missing in PORTAL_ENCRYPTION_KEYS.", count)
    _counted = (now, count)
    return count
