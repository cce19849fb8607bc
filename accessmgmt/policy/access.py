"""Who may see, activate and request endpoints, who may do what with a grant, and who sees which look at a server.

A rule that lists filter by stands here twice: as a filter (`…_by`, `…_to`), and as a judgement of one row (`may_…`).
tests/policy asks both about the same rows.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q

from accessmgmt.domain.errors import ForbiddenError
from accessmgmt.models import AccessRequest, Endpoint, Grant, GroupEndpoint, GroupMember, User
from accessmgmt.policy.people import is_admin, is_auditor, require_admin

EVERYTHING, NOTHING = ~Q(pk__in=()), Q(pk__in=())
Wires = frozenset[tuple[str, int]]
"""Pairs of an e-mail address and the primary key of an endpoint that a group of that person is wired to."""


def wires_between(emails: Collection[str], endpoint_ids: Collection[int]) -> Wires:
    """Return which of these people are wired to which of these endpoints, with one query."""
    rows = GroupMember.objects.filter(email__in=emails, group__wires__endpoint__in=endpoint_ids)
    return frozenset(rows.values_list("email", "group__wires__endpoint_id"))


def is_own(user: User, row: Grant | AccessRequest) -> bool:
    """Say whether a grant or a request is the person's own."""
    return user.is_active and row.user_id == user.pk


def wired_to(user: User) -> Q:
    """Endpoints of the person's groups: to activate, or to request where approval is needed."""
    wires = GroupEndpoint.objects.filter(endpoint=OuterRef("pk"), group__members__email=user.email)
    return Q(Exists(wires)) if user.is_active else NOTHING


def may_activate(user: User, endpoint: Endpoint) -> bool:
    """Say whether the person may activate the endpoint without approval."""
    return user.is_active and not endpoint.is_jit_enabled and _is_wired(user, endpoint)


def requestable_by(user: User) -> Q:
    """Endpoints that the person may ask for: open to anybody, or of their groups and needing approval."""
    return Q(is_requestable=True) | (wired_to(user) & Q(is_jit_enabled=True)) if user.is_active else NOTHING


def may_request(user: User, endpoint: Endpoint, wires: Wires | None = None) -> bool:
    """Say whether the person may ask for the endpoint; who judges many brings `wires_between` them."""
    if not user.is_active:
        return False
    return endpoint.is_requestable or (endpoint.is_jit_enabled and _is_wired(user, endpoint, wires))


def endpoints_visible_to(user: User) -> Q:
    """Endpoints that a member's pages tell of: what the person may activate or request, and everything to admins."""
    return EVERYTHING if is_admin(user) else wired_to(user) | requestable_by(user)


def grants_visible_to(user: User) -> Q:
    """Grants that the person may see: their own, and everybody's to auditors."""
    if is_auditor(user):
        return EVERYTHING
    return Q(user=user) if user.is_active else NOTHING


def may_see_grant(user: User, grant: Grant) -> bool:
    """Say whether the person may see the grant."""
    return is_auditor(user) or is_own(user, grant)


def require_releaser(user: User, grant: Grant) -> None:
    """Raise ForbiddenError unless it is the person's own grant."""
    if not is_own(user, grant):
        raise ForbiddenError("You can only release your own access.", todo="Ask an admin to end it.")


def require_revoker(user: User) -> None:
    """Raise ForbiddenError unless the person may end anybody's grant."""
    require_admin(user, "ends somebody else's access")


def looks_visible_to(user: User) -> Q:
    """Looks that the person may see: those at stored resources to auditors, those at a form to whoever asked."""
    return Q(resource__isnull=False) | Q(asked_by=user) if is_auditor(user) else NOTHING


def may_reveal(user: User, grant: Grant) -> bool:
    """Say whether the person may read the grant's password: its own person, and no admin."""
    return is_own(user, grant)


def require_reader_of_password(user: User, grant: Grant) -> None:
    """Raise ForbiddenError unless the person may read the grant's password."""
    if not may_reveal(user, grant):
        raise ForbiddenError("A password is shown only to the person it was made for.")


def _is_wired(user: User, endpoint: Endpoint, wires: Wires | None = None) -> bool:
    found = wires_between([user.email], [endpoint.pk]) if wires is None else wires
    return (user.email, endpoint.pk) in found
