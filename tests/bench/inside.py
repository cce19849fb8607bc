"""What the bench does with the portal's own models and services: called by name in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from accessmgmt.domain.actions import Action  # noqa: E402
from accessmgmt.domain.names import new_login_role_name  # noqa: E402
from accessmgmt.models import Endpoint, Grant, User  # noqa: E402
from accessmgmt.provisioning.apply.grant import apply_grant  # noqa: E402
from accessmgmt.services.grants.activate import queue_grant  # noqa: E402

ENDPOINT = "postgres-dev-access"
THREADS = 4


def make_people(count: int) -> list[User]:
    """Store people who never log in to the portal."""
    before = User.objects.count()
    people = [User(email=f"bench{before + number}@company.com", password="!") for number in range(count)]
    return User.objects.bulk_create(people)


def make_active(count: int, due_at: str) -> list[list[str]]:
    """Make active grants that are all due at one moment, as apply would have left them; return roles and passwords."""
    endpoint = Endpoint.objects.select_related("resource", "authorization").get(name=ENDPOINT)
    due, permissions = datetime.fromisoformat(due_at), endpoint.authorization.permission_set
    target = endpoint.resource.as_target()

    def make(person: User) -> list[str]:
        """Take what `applying` and `active` need; the lease keeps the workers away."""
        grant = Grant(
            user=person,
            endpoint=endpoint,
            resource=endpoint.resource,
            permissions=permissions.as_json(),
            permissions_digest=permissions.digest,
            ttl_seconds=int((due - timezone.now()).total_seconds()) - 1,  # never later than `due` by the server's clock
            role_name=new_login_role_name(person.email),
            password=f"bench-{person.pk}-password-0123456789",
            next_attempt_at=due,
            state="applying",
            applying_at=timezone.now(),
            lease_until=due,
        )
        grant.save(force_insert=True)
        receipt = apply_grant(target, grant.as_order(), budget_seconds=60)
        grant.role_oid, grant.apply_receipt = receipt.role_oid, receipt.as_json()
        grant.state, grant.active_at, grant.expires_at, grant.lease_until = "active", timezone.now(), due, None
        grant.save()
        return [grant.role_name, grant.password]

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(make, make_people(count)))


def lags(due_at: str) -> dict[str, list[float]]:
    """Return, for the grants due at one moment, seconds from then to the verified end and to the recorded one."""
    due = datetime.fromisoformat(due_at)
    rows = Grant.objects.filter(expires_at=due, state="ended").values_list("end_receipt", "ended_at")
    return {
        "verified": [(datetime.fromisoformat(receipt["verified_at"]) - due).total_seconds() for receipt, _ in rows],
        "recorded": [(ended_at - due).total_seconds() for _, ended_at in rows],
        "sessions": [float(len(receipt["sessions"])) for receipt, _ in rows],
    }


def wait_until_ended(due_at: str, count: int, latest_seconds: float) -> int:
    """Wait until all grants due at one moment are ended."""
    deadline = time.monotonic() + latest_seconds
    rows = Grant.objects.filter(expires_at=datetime.fromisoformat(due_at), state="ended")
    time.sleep(max(0.0, (datetime.fromisoformat(due_at) - timezone.now()).total_seconds()))
    while (ended := rows.count()) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {ended} of {count} ended")
        time.sleep(0.25)
    return ended


def queue_and_wait(count: int, latest_seconds: float) -> dict[str, float]:
    """Queue grants for as many people with the service, and measure until all are active."""
    endpoint = Endpoint.objects.select_related("resource", "authorization").get(name=ENDPOINT)
    people = make_people(count)
    permissions = endpoint.authorization.permission_set

    @transaction.atomic
    def queue(person: User) -> str:
        granted = queue_grant(
            actor=person,
            user=person,
            endpoint=endpoint,
            permissions=permissions,
            ttl_seconds=3600,
            action=Action.GRANT_ACTIVATED,
        )
        return str(granted.pk)

    names = [queue(person) for person in people]
    print("queued", flush=True)
    deadline = time.monotonic() + latest_seconds
    while Grant.objects.filter(pk__in=names, state="active").count() < count:
        if time.monotonic() > deadline:
            raise TimeoutError("not all became active")
        time.sleep(0.5)
    rows = Grant.objects.filter(pk__in=names)
    first = min(rows.values_list("applying_at", flat=True))
    last = max(rows.values_list("active_at", flat=True))
    return {"seconds": (last - first).total_seconds()}


CALLS: dict[str, Callable[..., Any]] = {
    "make_active": make_active,
    "lags": lags,
    "wait_until_ended": wait_until_ended,
    "queue_and_wait": queue_and_wait,
}

if __name__ == "__main__":
    try:
        print(json.dumps(CALLS[sys.argv[1]](**json.loads(sys.argv[2]))))
    finally:
        connection.close()
