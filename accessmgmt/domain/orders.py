"""What provisioning is asked to make, to keep and to end: frozen, without Django."""

from __future__ import annotations

from dataclasses import dataclass, field

from accessmgmt.domain.names import Installation
from accessmgmt.domain.permissions import PermissionSet


@dataclass(frozen=True, slots=True)
class SetOrder:
    """A permission set as one installation gives it on a server: by a capability role of its own."""

    installation: Installation
    permissions: PermissionSet

    @property
    def capability(self) -> str:
        """The name of the capability role."""
        return self.permissions.capability_role_name(self.installation.id)

    @property
    def tag(self) -> str:
        """The comment on the capability role."""
        return self.installation.tag("set", self.permissions.digest, self.capability)


@dataclass(frozen=True, slots=True)
class LoginRef:
    """Which login role is meant, and what is known of it since it was made.

    `role_oid` is None, and `system_identifier` (of the cluster) is empty, until an apply has reported them; so is
    `triggers_before`, which stays None where the set has no TRIGGER.
    """

    installation: Installation
    grant_id: str
    role_name: str
    role_oid: int | None = None
    system_identifier: str = ""
    triggers_before: tuple[int, ...] | None = None

    @property
    def tag(self) -> str:
        """The comment on the login role."""
        return self.installation.tag("grant", self.grant_id, self.role_name)


@dataclass(frozen=True, slots=True)
class GrantOrder:
    """One grant to make real: a login that gets a set for a time."""

    login: LoginRef
    set: SetOrder
    ttl_seconds: int
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndOrder:
    """One login to end. `set` is what it was given, None where that is not known: its capability role is left alone."""

    login: LoginRef
    set: SetOrder | None = None

    @property
    def capability(self) -> str | None:
        """The name of the capability role that the login was made a member of."""
        return None if self.set is None else self.set.capability
