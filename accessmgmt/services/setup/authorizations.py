"""Authorizations: what may be done."""

from __future__ import annotations

from django.db import transaction

from accessmgmt.models import (
    Authorization,
    User,
)
from accessmgmt.services.setup.save import save


@transaction.atomic
def save_authorization(*, actor: User, authorization: Authorization) -> Authorization:
    """Store a new or changed authorization. Raises InvalidError when its permissions are not valid."""
    return save(actor, authorization)
