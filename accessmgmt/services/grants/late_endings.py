"""Ends what grants that are over have left on servers that were away, and writes that into their receipts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.states import GrantState
from accessmgmt.models import Grant, Resource
from accessmgmt.provisioning.end import absent_servers
from accessmgmt.provisioning.end.absent_servers import Left, Look
from accessmgmt.services.audit import trail

LOOKED_FOR = timedelta(days=1)
UNSEEN_LOOKED_FOR = timedelta(days=30)
MOST_GRANTS = 2_000


def roles_that_are_over(names: Iterable[str]) -> set[tuple[str, str]]:
    """Return, of these role names, those of grants that are over, each with its grant's id."""
    over = Grant.objects.filter(role_name__in=set(names), state__in=(GrantState.ENDED, GrantState.FAILED))
    return {(name, str(pk)) for name, pk in over.values_list("role_name", "pk")}


def end_what_is_left(resource: Resource) -> None:
    """Look for the logins and sessions of ended grants on every server of the resource beside its primary.

    Grants are looked for during a day; those whose receipt names a server that could not be asked, during 30 days,
    until it was. Raises TargetError when the primary is out of reach.
    """
    servers = absent_servers.find_servers_beside(resource.as_target())
    grants = _grants_to_look_for(resource) if servers else []
    if not grants:
        return
    logins = [grant.as_login() for grant in grants]
    for server in servers:
        look = absent_servers.end_what_is_left(server, logins)
        if look.left:
            _record(resource, grants, look)


def _grants_to_look_for(resource: Resource) -> Sequence[Grant]:
    now = timezone.now()
    unseen = Q(ended_at__gte=now - UNSEEN_LOOKED_FOR, end_receipt__unseen_hosts__0__isnull=False)
    ended = Grant.objects.filter(resource=resource, state=GrantState.ENDED, role_oid__isnull=False)
    rows = ended.annotate(is_unseen=unseen).filter(Q(ended_at__gte=now - LOOKED_FOR) | unseen)
    rows = rows.order_by(F("is_unseen").desc(nulls_last=True), "-ended_at")
    return list(rows.only("role_name", "role_oid", "system_identifier", "end_receipt")[:MOST_GRANTS])


@transaction.atomic
def _record(resource: Resource, grants: Sequence[Grant], look: Look) -> None:
    """Audit what was ended, and tell it in the receipts that name the server among those that did not answer."""
    names = {str(grant.pk): grant.role_name for grant in grants}
    found = [left for left in look.left if left.session_count or left.was_role_there]
    if found:
        trail.record(
            None,
            Action.RESOURCE_LEFT_OVER_ENDED,
            resource,
            server=look.host,
            roles=[names[left.grant_id] for left in found[:50]],
            sessions_cut=sum(left.session_count for left in found),
            not_proved=[names[left.grant_id] for left in found if not left.is_proved][:50],
        )
    proved = {left.grant_id: left for left in look.left if left.is_proved}
    rows = Grant.objects.filter(pk__in=list(proved), end_receipt__unseen_hosts__contains=[{"host": look.host}])
    for grant in rows.select_for_update(of=("self",)).only("end_receipt"):
        receipt = grant.end_receipt or {}
        receipt["unseen_hosts"] = [unseen for unseen in receipt["unseen_hosts"] if unseen["host"] != look.host]
        receipt["notes"] = [*receipt.get("notes", []), _answer(look.host, proved[str(grant.pk)])]
        Grant.objects.filter(pk=grant.pk).update(end_receipt=receipt)


def _answer(host: str, left: Left) -> str:
    now = timezone.now().strftime("%Y-%m-%d %H:%M UTC")
    role = " The login was there, too, and was ended." if left.was_role_there else ""
    return (
        f"{host} did not answer when the grant ended. It was looked at on {now}: {left.session_count} sessions were"
        f" ended there, and none is left.{role}"
    )
