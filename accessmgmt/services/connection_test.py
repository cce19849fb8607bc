"""Runs the connection test of a resource, stored or not."""

from __future__ import annotations

from accessmgmt.domain.errors import ForbiddenError
from accessmgmt.domain.targets import Rung
from accessmgmt.models import Resource, User
from accessmgmt.provisioning import check
from accessmgmt.services import audit


def test_connection(*, actor: User, resource: Resource) -> list[Rung]:
    """Return the rungs of the ladder, top to bottom. A stored resource's test is audited. Changes nothing there.

    Raises ForbiddenError for anybody but admins: the test opens connections from the portal's network.
    """
    if not actor.is_admin:
        raise ForbiddenError("Only an admin tests connections.", todo="Ask an admin.")
    rungs = list(check.test_connection(resource.as_target()))
    if resource.pk:
        audit.record(actor, "resource.tested", resource, rungs={rung.name: rung.state.value for rung in rungs})
    return rungs
