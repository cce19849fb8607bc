"""The people of a storm, in a process with the portal's environment: they activate, log in, stay, release, are revoked.

Prints `ready` when all are stored, then one line of JSON with what they did; keeps their sessions until its input ends.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import django

django.setup()

import psycopg  # noqa: E402
from django.db import Error, connection  # noqa: E402

from accessmgmt.domain.errors import ConflictError  # noqa: E402
from accessmgmt.models import Authorization, Endpoint, Grant, Group, Resource, User  # noqa: E402
from accessmgmt.services.grants.activate import activate_endpoint  # noqa: E402
from accessmgmt.services.grants.stop import release_grant, revoke_grant  # noqa: E402
from accessmgmt.services.setup import groups  # noqa: E402
from accessmgmt.services.setup.endpoints import save_endpoint  # noqa: E402

TTLS = ("3s", "5s", "8s", "12s", "20s", "30s", "10m", "1h")
REPLICA_TTLS = ("6s", "25s", "1h")
FATES = ("stays", "stays", "stays", "released", "revoked")
RETRY_SECONDS, PATIENCE_SECONDS, LOGIN_TRIES = 0.5, 60.0, 20


@dataclass
class Actor:
    """One person's part in the story."""

    user: User
    endpoint: Endpoint
    fate: str
    fate_after: float
    sits: bool
    grant: Grant | None = None
    tries_left: int = LOGIN_TRIES


class Story:
    """Does what is due, in one thread; what the portal's database refuses is tried again."""

    def __init__(self, actors: list[Actor], admin: User) -> None:
        self.actors = actors
        self.admin = admin
        self.sessions: list[psycopg.Connection] = []
        self.counts: Counter[str] = Counter()
        self._due: list[tuple[float, int, Callable[[Actor], None], Actor]] = []
        self._number = 0

    def later(self, seconds: float, step: Callable[[Actor], None], actor: Actor) -> None:
        """Do a step some seconds from now."""
        self._number += 1
        heapq.heappush(self._due, (time.monotonic() + seconds, self._number, step, actor))

    def run(self, latest_seconds: float) -> None:
        """Do all steps. Raises TimeoutError when the portal's database stays away."""
        until = time.monotonic() + latest_seconds
        while self._due:
            at, _, step, actor = heapq.heappop(self._due)
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                step(actor)
            except Error:
                connection.close()
                self.counts["retries"] += 1
                if time.monotonic() > until:
                    raise TimeoutError("the portal's database does not come back") from None
                self.later(RETRY_SECONDS, step, actor)

    def activate(self, actor: Actor) -> None:
        """Activate; a conflict means that an earlier try was committed though nobody said so."""
        try:
            actor.grant = activate_endpoint(actor=actor.user, endpoint=actor.endpoint)
        except ConflictError:
            actor.grant = Grant.objects.get(user=actor.user)
        self.counts["activated"] += 1
        if actor.fate != "stays":
            self.later(actor.fate_after, self.end, actor)
        if actor.sits:
            self.later(1.0, self.sit, actor)

    def end(self, actor: Actor) -> None:
        """Release one's own, or be revoked by the admin."""
        assert actor.grant is not None
        try:
            if actor.fate == "released":
                release_grant(actor=actor.user, grant=actor.grant)
            else:
                revoke_grant(actor=self.admin, grant=actor.grant)
            self.counts[actor.fate] += 1
        except ConflictError:
            self.counts["over before"] += 1

    def sit(self, actor: Actor) -> None:
        """Log in and stay, as soon as the grant is active."""
        assert actor.grant is not None
        actor.tries_left -= 1
        grant = Grant.objects.active().filter(pk=actor.grant.pk).select_related("resource").first()
        if grant is not None:
            try:
                self.sessions.append(log_in(grant))
                self.counts["sessions"] += 1
                return
            except psycopg.Error:
                self.counts["refused"] += 1
        if actor.tries_left > 0:
            self.later(1.0, self.sit, actor)


def log_in(grant: Grant) -> psycopg.Connection[Any]:
    """Open a session as a grant's role."""
    return psycopg.connect(
        host=grant.resource.host,
        port=grant.resource.port,
        dbname=grant.resource.database_name,
        user=grant.role_name,
        password=grant.password,
        sslmode="require",
        connect_timeout=2,
        autocommit=True,
    )


def make_endpoints(admin: User) -> tuple[Group, list[Endpoint]]:
    """Make endpoints of every time to live on both resources, for a group without members."""
    wanted = [(ttl, "postgres-production", "developer-role") for ttl in TTLS]
    wanted += [(ttl, "postgres-read-replica", "analyst-role") for ttl in REPLICA_TTLS]
    group = groups.save_group(actor=admin, group=Group(name="storm"))
    endpoints = []
    for ttl, resource, authorization in wanted:
        endpoint = Endpoint(
            name=f"{resource}-{ttl}",
            ttl=ttl,
            resource=Resource.objects.get(name=resource),
            authorization=Authorization.objects.get(name=authorization),
        )
        save_endpoint(actor=admin, endpoint=endpoint)
        groups.wire_endpoint(actor=admin, group=group, endpoint=endpoint)
        endpoints.append(endpoint)
    return group, endpoints


def make_story(count: int, seconds: float, seed: int) -> Story:
    """Store the people and plan what each of them does; the same seed gives the same plan."""
    chance = random.Random(seed)
    admin = User.objects.filter(role=User.Role.ADMIN).earliest("pk")
    group, endpoints = make_endpoints(admin)
    people = User.objects.bulk_create(User(email=f"storm{n}@company.com", password="!") for n in range(count))
    groups.add_members(actor=admin, group=group, emails=[person.email for person in people])
    actors = [
        Actor(
            user=person,
            endpoint=chance.choice(endpoints),
            fate=chance.choice(FATES),
            fate_after=chance.uniform(0.0, 12.0),
            sits=chance.random() < 0.4,
        )
        for person in people
    ]
    story = Story(actors, admin)
    for actor in actors:
        story.later(chance.uniform(0.0, seconds * 0.9), story.activate, actor)
    return story


def main(count: int, seconds: float, seed: int) -> None:
    """Play a story from beginning to end."""
    story = make_story(count, seconds, seed)
    print("ready", flush=True)
    story.run(seconds + PATIENCE_SECONDS)
    logins = [(actor.grant.role_name, actor.grant.password) for actor in story.actors if actor.grant is not None]
    print(json.dumps({"counts": story.counts, "logins": logins}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
