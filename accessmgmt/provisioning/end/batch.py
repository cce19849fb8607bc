"""Grants that end together, and what was done so far for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.orders import EndOrder, SetOrder
from accessmgmt.domain.targets import CutSession
from accessmgmt.provisioning.connect.another_database import Detour
from accessmgmt.provisioning.connect.hosts import Servers
from accessmgmt.provisioning.end.members import Holder
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.stopwatch import Steps


@dataclass(slots=True)
class Ending:
    """What was done so far for one grant. `oids` are those under which the login may have sessions.

    `holders` are others whose sessions may hold its rights. `refusal` becomes its error when all is done that can be.
    """

    order: EndOrder
    oids: list[int]
    was_absent: bool = True
    roles: list[FoundRole] = field(default_factory=list)
    sessions: list[CutSession] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)
    reassigned: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unseen: dict[str, str] = field(default_factory=dict)
    refusal: TargetRefused | None = None
    error: TargetError | None = None
    verified_at: datetime | None = None


@dataclass(slots=True)
class Batch:
    """Grants that end together, on one target. `moments` are when the doors were shut, by each server's clock."""

    servers: Servers
    endings: list[Ending]
    budget: Budget
    steps: Steps = field(default_factory=Steps)
    standby_failure: TargetError | None = None
    detour: Detour | None = None
    moments: dict[tuple[str, int], datetime] = field(default_factory=dict)

    @property
    def live(self) -> list[Ending]:
        """Those that nothing speaks against yet."""
        return [ending for ending in self.endings if ending.error is None]

    @property
    def oids(self) -> list[int]:
        return [oid for ending in self.live for oid in ending.oids]

    @property
    def sets(self) -> set[SetOrder]:
        """What the logins were given, each set once."""
        return {ending.order.set for ending in self.endings if ending.order.set is not None}

    def fail(self, failures: dict[int, TargetError]) -> None:
        """Take out the grants of these role OIDs."""
        for ending in self.live:
            ending.error = next((failures[oid] for oid in ending.oids if oid in failures), None)
