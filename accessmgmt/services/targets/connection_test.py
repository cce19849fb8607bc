"""Asks the server of a resource: the connection test, and whether a new address leads to the same server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import InvalidError, TargetError
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import Rung, RungState
from accessmgmt.models import Authorization, Resource, User
from accessmgmt.models.installation import this_installation
from accessmgmt.policy.people import require_admin
from accessmgmt.provisioning.check import ladder
from accessmgmt.selectors.setup.resources import live_grants_at
from accessmgmt.services import installation
from accessmgmt.services.audit import trail
from accessmgmt.services.setup.resources import changed_address
from accessmgmt.services.targets import availability


def test_connection(
    *,
    actor: User,
    resource: Resource,
    on_rung: Callable[[list[Rung]], None] | None = None,  # noqa: PT028 - it is no test of ours
) -> list[Rung]:
    """Return the rungs of the ladder, top to bottom. A stored resource's test is audited. Changes nothing there.

    `on_rung` gets all that are known whenever there is one more; when it raises, the climb ends in good order.
    Raises ForbiddenError for anybody but admins: the test opens connections from the portal's network.
    """
    require_admin(actor, "tests connections")
    rungs: list[Rung] = []
    climb = ladder.test_connection(
        resource.as_target(),
        _permission_sets(resource),
        this_installation(),
        only_looks=installation.is_observing(),
    )
    with closing(climb):
        for rung in climb:
            rungs.append(rung)
            if on_rung is not None:
                on_rung(rungs)
    if resource.pk:
        if RungState.FAILED not in {rung.state for rung in rungs}:
            availability.forget(resource.pk)
        trail.record(actor, Action.RESOURCE_TESTED, resource, rungs={rung.name: rung.state.value for rung in rungs})
    return rungs


def _permission_sets(resource: Resource) -> list[PermissionSet]:
    """Return what the endpoints of a stored resource give, each set once."""
    if not resource.pk:
        return []
    authorizations = Authorization.objects.filter(endpoints__resource=resource).order_by("name").distinct()
    return list({authorization.permission_set: None for authorization in authorizations})


def check_same_server(*, actor: User, resource: Resource) -> None:
    """Make sure that the changed address of a resource leads to the server that its live grants are on.

    The system identifier of the cluster is compared, which a server keeps for life, whatever its address; a standby has
    its primary's. Nothing is asked when no address changed, and nothing is stored. `resource` is not saved yet.

    Raises InvalidError at `is_same_server` when it is another server, or when that cannot be told.
    """
    require_admin(actor, "tests connections")
    before = Resource.objects.select_related("primary").get(pk=resource.pk)
    if not changed_address(before, resource):
        return
    live = live_grants_at(before).exclude(system_identifier="")
    known = set(live.order_by().values_list("system_identifier", flat=True).distinct())
    target = resource.as_target()
    try:
        found = {ladder.read_cluster(place) for place in (target, target.primary) if place}
        known = known or {ladder.read_cluster(before.as_target())}
    except TargetError as error:
        raise _not_confirmed(f"Whether it is the same server cannot be told. {error}") from None
    trail.record(
        actor, Action.RESOURCE_ADDRESS_CHECKED, resource, host=resource.host, port=resource.port, is_same=found == known
    )
    if found != known:
        raise _not_confirmed(
            "It is another server: its system identifier differs from that of the server which the live grants are on."
            " Correct the address, or end those grants first."
        )


def _not_confirmed(text: str) -> InvalidError:
    return InvalidError(text, fields={"is_same_server": [text]})
