"""A role of the portal as it was found on a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundRole:
    """A grant's login, or a capability role, of which only the name and the OID matter.

    `memberships` are pairs of granted role and grantor.
    `members` are pairs of a role that was made a member of the login, and the grantor; `passed_on` are memberships that
    the login itself gave, pairs of granted role and member. `capability` is the role of its permission set, None where
    that is not known; `triggers_before` are triggers that its tables had when it was made, None where the set does not
    let it make any.
    """

    name: str
    oid: int
    memberships: tuple[tuple[str, str], ...]
    acting_as: str
    members: tuple[tuple[str, str], ...] = ()
    passed_on: tuple[tuple[str, str], ...] = ()
    capability: str | None = None
    triggers_before: tuple[int, ...] | None = None
