"""Endpoints: a resource, an authorization and a time to live; and who decides on requests."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from accessmgmt.domain.actions import Action
from accessmgmt.domain.emails import read_address
from accessmgmt.domain.ttl import parse_ttl
from accessmgmt.models import (
    Endpoint,
    EndpointApprover,
    User,
)
from accessmgmt.services.audit import trail
from accessmgmt.services.reading import read_field
from accessmgmt.services.setup.save import save


@transaction.atomic
def save_endpoint(*, actor: User, endpoint: Endpoint, approvers: Iterable[str] | None = None) -> Endpoint:
    """Store a new or changed endpoint; `approvers` (e-mail addresses) replaces the list, None leaves it.

    Raises InvalidError when the ttl or an address is not valid.
    """
    endpoint.ttl_seconds = read_field("ttl", parse_ttl, endpoint.ttl)
    save(actor, endpoint)
    if approvers is not None:
        wanted = {read_address(email) for email in approvers}
        present = set(endpoint.approvers.values_list("email", flat=True))
        endpoint.approvers.filter(email__in=present - wanted).delete()
        EndpointApprover.objects.bulk_create(
            EndpointApprover(endpoint=endpoint, email=e) for e in sorted(wanted - present)
        )
        if wanted != present:
            trail.record(actor, Action.ENDPOINT_APPROVERS_SET, endpoint, before=sorted(present), after=sorted(wanted))
    return endpoint
