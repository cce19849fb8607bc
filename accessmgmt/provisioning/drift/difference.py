"""What the comparisons of the drift check give: a finding, and how it is mended. And as whom the portal mends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accessmgmt.domain.drift import DriftFinding
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.conversation import Row
from accessmgmt.provisioning.statements.base import Statement
from accessmgmt.provisioning.statements.chains import act_as, step_out
from accessmgmt.provisioning.statements.ending import step_into

OWN_ATTRIBUTE_SINCE = 16
"""From then on CREATEDB, REPLICATION and BYPASSRLS are taken away by who has them, and before by superusers (but for
CREATEDB), who also change all else of a role that replicates."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A finding, and the statements that mend it; none where a procedure does, or nothing can.

    `hands_over` is the role whose objects the statements give to the resource's new owner of leftovers, `takes_back` a
    role that takes back what it passed on, `ends_sessions_of` the OID of a role that is gone and whose sessions are
    ended, `database` another one than the resource's, in which the statements are run.
    """

    finding: DriftFinding
    statements: tuple[Statement, ...] = ()
    hands_over: FoundRole | None = None
    takes_back: FoundRole | None = None
    ends_sessions_of: int | None = None
    database: str = ""


@dataclass(frozen=True, slots=True)
class Me:
    """As which role the portal acts in a database, with those of its attributes that let it take them from others."""

    name: str
    is_superuser: bool
    attributes: frozenset[str]
    server_version: int
    database: str

    def may_take(self, attributes: Sequence[str]) -> tuple[str, ...]:
        """Return which of a role's attributes we may take away."""
        if self.is_superuser:
            return tuple(attributes)
        has_lock = {"SUPERUSER"} if self.server_version >= OWN_ATTRIBUTE_SINCE else {"SUPERUSER", "REPLICATION"}
        if has_lock & set(attributes):
            return ()
        own = set(self.attributes) if self.server_version >= OWN_ATTRIBUTE_SINCE else {"CREATEDB"}
        return tuple(name for name in attributes if name in {"LOGIN", "CREATEROLE", *own})

    def stepping_into(self, role: str, statements: Sequence[Statement]) -> tuple[Statement, ...]:
        """Return the statements as they are run by a role of the portal, inside one transaction."""
        acting = [act_as(role), *statements, act_as(self.name)]
        if self.is_superuser:
            return tuple(acting)
        return (step_into(role, self.server_version, with_set=True), *acting, step_out(role))


def read_me(row: Row, server_version: int) -> Me:
    """Read the answer of READ_ACTING_AS."""
    return Me(row["name"], row["is_superuser"], frozenset(row["attributes"]), server_version, row["database"])
