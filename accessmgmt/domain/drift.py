"""Differences between what the portal gave and what a target has: frozen, without Django."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from accessmgmt.domain.names import Installation
from accessmgmt.domain.permissions import PermissionSet


class DriftKind(StrEnum):
    """What a difference is about."""

    PRIVILEGE = "privilege"  # a capability role lacks something, or has too much
    GRANTOR = "grantor"  # somebody else granted to a capability role: nobody but that grantor can revoke it
    DIRECT = "direct"  # a login was given something of its own
    MEMBERSHIP = "membership"  # who is a member of what
    ATTRIBUTE = "attribute"  # a login's own attributes
    VANISHED = "vanished"  # an active grant whose role is gone
    FOREIGN = "foreign"  # a role with the name or the mark of ours that is not provably ours: never touched
    ORPHAN = "orphan"  # a role with our tag that the portal does not know
    SESSION = "session"  # a session of a login that is gone
    OWNERSHIP = "ownership"  # a capability role owns something
    PASSED_ON = "passed_on"  # what a capability role gave to others of what it holds
    SETTING = "setting"  # what was set for a role
    POLICY = "policy"  # a row security policy that names a capability role
    UNUSED = "unused"  # a capability role that nothing needs, and that cannot be dropped


class Severity(StrEnum):
    """`alarm`: somebody can do more than was approved. `warning`: less works than was approved. `note`: to know."""

    ALARM = "alarm"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class KnownLogin:
    """An active grant's login role, as the portal believes it to be."""

    grant_id: str
    role_name: str
    role_oid: int
    capability: str
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class DriftOrder:
    """What a resource should hold.

    `permission_sets` are those of its active grants, `logins` their login roles. `other_roles` are names that the
    portal knows besides (queued, applying and ending grants, and grants of other resources): no orphans, and not
    judged. `idle_sets` are those that were given before, on any resource: nobody has to get their new tables, and what
    their capability roles have too much is too much. `databases` maps a capability role to the databases in which the
    portal gives its set. `former_oids` are OIDs of logins that ended, to look for sessions that outlived them.
    """

    installation: Installation
    permission_sets: tuple[PermissionSet, ...]
    logins: tuple[KnownLogin, ...]
    other_roles: frozenset[str] = frozenset()
    former_oids: tuple[int, ...] = ()
    idle_sets: tuple[PermissionSet, ...] = ()
    databases: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DriftFinding:
    """One difference. `sql` mends it ("" when nothing can); `is_automatic` says that a repair may run without a person.

    `is_for_dba` says that the portal may not run `sql`, a person with more rights may. `grant_id` is set for a grant's
    login role and for an orphan, `role` is the role that it is about.
    """

    kind: DriftKind
    severity: Severity
    object: str
    what: str
    sql: str = ""
    role: str = ""
    grant_id: str = ""
    is_automatic: bool = False
    is_for_dba: bool = False

    @property
    def key(self) -> str:
        """The identity of a difference: the same in two checks when nothing has changed."""
        return "\n".join((self.kind, self.role, self.object, self.what))

    @property
    def reference(self) -> str:
        """A short form of the key, for a form field."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:20]

    @property
    def is_repairable(self) -> bool:
        """Whether the portal may mend it when a person asks; some it does only then, and never by itself."""
        if self.is_for_dba or self.kind is DriftKind.FOREIGN:
            return False
        return self.is_automatic or bool(self.sql)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able form for the resource's row."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "object": self.object,
            "what": self.what,
            "sql": self.sql,
            "role": self.role,
            "grant_id": self.grant_id,
            "is_automatic": self.is_automatic,
            "is_for_dba": self.is_for_dba,
        }


def finding_from_json(value: Mapping[str, Any]) -> DriftFinding:
    """Read what `DriftFinding.as_json` gave."""
    return DriftFinding(
        kind=DriftKind(value["kind"]),
        severity=Severity(value["severity"]),
        object=value["object"],
        what=value["what"],
        sql=value["sql"],
        role=value["role"],
        grant_id=value["grant_id"],
        is_automatic=value["is_automatic"],
        is_for_dba=value.get("is_for_dba", False),
    )


@dataclass(frozen=True, slots=True)
class DriftChange:
    """Something that the portal changed on a role of its own by itself: `what` it did (a verb first), and on what.

    `is_taken` says that it took back what others had given; else it gave what is new, or what others had taken away.
    """

    role: str
    object: str
    what: str
    is_taken: bool

    def __str__(self) -> str:
        if not self.object:
            return f"{self.what} {'from' if self.is_taken else 'to'} {self.role}"
        return f"{self.what} on {self.object} {'from' if self.is_taken else 'to'} {self.role}"


@dataclass(frozen=True, slots=True)
class ResyncReport:
    """What a re-sync changed, and what the target refused or had no time for, by capability role, in words."""

    changes: tuple[DriftChange, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What a check found. `relation_count` sums the relations of every permission set."""

    findings: tuple[DriftFinding, ...]
    relation_count: int
    login_count: int
    took_ms: float
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did: the differences that it mended, and those that the target refused, with its words."""

    mended: tuple[DriftFinding, ...]
    refused: tuple[tuple[DriftFinding, str], ...]
