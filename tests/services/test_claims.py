"""A lease is one worker's, kept as long as its work lasts: who lost it has no part in the grant any more."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from accessmgmt.domain.actions import Action
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import Endpoint, Grant
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.services.grants import apply, endings, leases
from accessmgmt.services.grants.stop import begin_end
from devstack.postgres import PostgresServer
from devstack.process import wait_until
from tests import factories
from tests.targets import make_target, portal_roles

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(target_server: Callable[[int], PostgresServer]) -> PostgresServer:
    return target_server(18)


@pytest.fixture
def grant(server: PostgresServer) -> Grant:
    fields: dict[str, Any] = make_target(server)
    endpoint: Endpoint = factories.make_endpoint(resource=factories.make_resource(**fields))
    return factories.make_grant("queued", endpoint=endpoint)


def claim_held_up(grant: Grant, meanwhile: Callable[[], object]) -> Grant | None:
    """Claim it as a worker does whose lease lapses between its UPDATE and its SELECT, and do something meanwhile."""
    is_done = False

    def hold_up(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal is_done
        if sql.startswith("SELECT") and '"accessmgmt_grant"' in sql and not is_done:
            is_done = True
            Grant.objects.filter(pk=grant.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
            meanwhile()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(hold_up):
        claimed = leases.claim(grant.pk, (GrantState.QUEUED, GrantState.APPLYING))
    assert is_done
    return claimed


def test_the_lease_of_another_is_not_taken_over(grant: Grant) -> None:
    assert claim_held_up(grant, lambda: leases.claim(grant.pk, (GrantState.APPLYING,))) is None


def test_a_grant_that_another_has_finished_is_left_alone(grant: Grant) -> None:
    assert claim_held_up(grant, lambda: apply.apply_waiting_grant(grant.pk)) is None
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_a_login_that_was_proved_to_be_gone_is_not_made_again(server: PostgresServer, grant: Grant) -> None:
    """Another applies it, the person gives it back, and it is ended, but not recorded yet: then the first goes on."""
    before = portal_roles(server)
    ending: list[tuple[list[Grant], list[Any]]] = []

    def live_and_end() -> None:
        assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
        begin_end(actor=grant.user, grant_id=grant.pk, reason=EndReason.RELEASED, action=Action.GRANT_RELEASED)
        row = leases.claim(grant.pk, (GrantState.ENDING,))
        assert row is not None
        ending.append(([row], endings._end([row])))

    claimed = claim_held_up(grant, live_and_end)
    if claimed is not None:
        apply_grant(claimed.resource.as_target(), claimed.as_order())
    endings._record(*ending[0])
    grant.refresh_from_db()
    assert grant.state == GrantState.ENDED
    assert portal_roles(server) == before


def lease_end_of(grant: Grant) -> datetime:
    until = Grant.objects.values_list("lease_until", flat=True).get(pk=grant.pk)
    assert until is not None
    return until


def wait_for_renewals(grant: Grant, *, count: int) -> None:
    """Wait until the keeper has renewed the lease so many times."""
    for _ in range(count):
        before = lease_end_of(grant)
        wait_until(lambda before=before: lease_end_of(grant) > before, timeout=60, what="the lease is renewed")


def claimed() -> Grant:
    grant = leases.claim(factories.make_grant("queued").pk, (GrantState.QUEUED,))
    assert grant is not None
    return grant


def test_leases_are_kept_while_the_work_lasts_by_one_thread_and_let_go_with_it(settings: Settings) -> None:
    settings.PORTAL_LEASE_SECONDS = 1
    long, short = claimed(), claimed()
    with leases.kept([long]):
        with leases.kept([short]):
            wait_for_renewals(long, count=1)
            wait_for_renewals(short, count=1)
        wait_for_renewals(long, count=1)  # a renewal that was under way for both when the short one ended is over
        left_at = lease_end_of(short)
        wait_for_renewals(long, count=2)
        assert lease_end_of(short) == left_at
    keepers = [thread for thread in threading.enumerate() if thread.name == "lease-keeper"]
    assert [thread.daemon for thread in keepers] == [True], "one for all, and no process waits for it"


def test_the_lease_of_who_took_over_is_not_lengthened(settings: Settings) -> None:
    settings.PORTAL_LEASE_SECONDS = 1
    mine, taken = claimed(), claimed()
    with leases.kept([mine]), leases.kept([taken]):
        wait_for_renewals(mine, count=1)
        Grant.objects.filter(pk=taken.pk).update(lease_token=uuid.uuid4(), lease_until=timezone.now())
        taken_at = lease_end_of(taken)
        wait_for_renewals(mine, count=2)
        assert lease_end_of(taken) == taken_at


def test_a_row_that_is_being_recorded_holds_up_no_other_lease(settings: Settings) -> None:
    settings.PORTAL_LEASE_SECONDS = 1
    recorded, other = claimed(), claimed()
    with leases.kept([recorded]), leases.kept([other]), transaction.atomic():
        Grant.objects.select_for_update().get(pk=recorded.pk)
        wait_for_renewals(other, count=2)
