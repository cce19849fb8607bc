"""Orders for logins of tests, and what is known of a login once it was made."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from accessmgmt.domain.names import Installation, new_login_role_name
from accessmgmt.domain.orders import EndOrder, GrantOrder, LoginRef, SetOrder
from accessmgmt.domain.permissions import PermissionSet


def make_order(
    installation: Installation, wanted: PermissionSet, *, ttl_seconds: int = 3_600, who: str = "alice"
) -> GrantOrder:
    """Make an order for a fresh login role."""
    login = LoginRef(installation, secrets.token_hex(8), new_login_role_name(f"{who}@example.com"))
    return GrantOrder(login, SetOrder(installation, wanted), ttl_seconds, secrets.token_urlsafe(24))


def of_installation(order: GrantOrder, installation: Installation) -> GrantOrder:
    """Return the order as another installation would give it."""
    login, wanted = replace(order.login, installation=installation), replace(order.set, installation=installation)
    return replace(order, login=login, set=wanted)


def as_made(order: GrantOrder, **known: Any) -> GrantOrder:
    """Return the order with what is known of its login: fields of LoginRef."""
    return replace(order, login=replace(order.login, **known))


def to_end(order: GrantOrder, **known: Any) -> EndOrder:
    """Return what ends the login, with what is known of it: fields of LoginRef."""
    return EndOrder(replace(order.login, **known), order.set)
