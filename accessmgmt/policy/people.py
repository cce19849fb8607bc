"""Who is an admin or an auditor. A suspended account is neither, whatever its role says."""

from __future__ import annotations

from accessmgmt.domain.errors import ForbiddenError
from accessmgmt.models import User


def is_admin(user: User) -> bool:
    """Say whether the person administers the portal."""
    return user.is_active and user.is_admin


def is_auditor(user: User) -> bool:
    """Say whether the person reads everything: auditors, and admins."""
    return user.is_active and user.is_auditor


def require_admin(user: User, act: str) -> None:
    """Raise ForbiddenError unless the person is an admin; `act` goes on after "Only an admin"."""
    if not is_admin(user):
        raise ForbiddenError(f"Only an admin {act}.", todo="Ask an admin.")


def require_active(user: User) -> None:
    """Raise ForbiddenError for a suspended account."""
    if not user.is_active:
        raise ForbiddenError(f"The account of {user.email} is suspended.", todo="Ask an admin.")
