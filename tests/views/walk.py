"""Every URL of the site, found in the resolver, and a small world of objects to walk them in.

A new URL is walked without being listed anywhere: its arguments are those of the object that its first word names, or
those of an object that is there when no object goes by that word.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accessmgmt.domain.looks import LookKind
from accessmgmt.models import Resource, TargetLook, User
from tests import factories

ARGUMENT = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
PERSONAS = ("anonymous", "alice", "bob", "carol", "dave", "erin")
NO_PORT = 1
"""Nobody listens there: a connection is refused at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """One URL pattern: `route` as it is written, and the view's name for messages."""

    route: str
    name: str

    @property
    def arguments(self) -> list[str]:
        """The converters of its arguments, first to last."""
        return [match["converter"] or "str" for match in ARGUMENT.finditer(self.route)]

    def url(self, *arguments: object) -> str:
        """Return the path with these arguments in place of those of the route."""
        values = iter(arguments)
        return "/" + ARGUMENT.sub(lambda _: str(next(values)), self.route)


def places() -> list[Place]:
    """Return every URL of the site."""
    found = list(_walk(get_resolver().url_patterns, ""))
    assert len(found) > 50, "the resolver was not walked"
    return found


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[Place]:
    for entry in patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, route)
        else:
            assert not re.search(r"[\^$\\(]", route), f"a route that is a regular expression cannot be walked: {route}"
            yield Place(route, entry.name or route)


@dataclass(slots=True)
class World:
    """One object of each kind; `keys` maps the first word of a route to the primary key of such an object."""

    people: dict[str, User]
    keys: dict[str, object] = field(default_factory=dict)

    def url(self, place: Place) -> str:
        """Return the path of a place with an object that is there."""
        word = place.route.partition("/")[0]
        by_kind = {"uuid": self.keys["grants"], "int": self.keys["resources"]}
        return place.url(*(self.keys.get(word, by_kind.get(kind, "x")) for kind in place.arguments))

    def client(self, persona: str) -> Client:
        """Return a client that is signed in as a persona, or not at all, and that answers 500 as a browser gets it."""
        client = Client(raise_request_exception=False)
        if persona != "anonymous":
            client.force_login(self.people[persona])
        return client


@pytest.fixture
def world(alice: User, bob: User, carol: User, dave: User, erin: User) -> World:
    """One resource that refuses connections, and what is built on it: Alice holds a grant and waits for another."""
    people = {"alice": alice, "bob": bob, "carol": carol, "dave": dave, "erin": erin}
    resource = Resource.objects.get(pk=factories.make_resource(host="127.0.0.1", port=NO_PORT, tls_root_cert="PEM").pk)
    authorization = factories.make_authorization()
    common = {"resource": resource, "authorization": authorization}
    endpoint = factories.make_endpoint(**common)
    asked = factories.make_endpoint(approvers=[bob.email], is_jit_enabled=True, is_requestable=True, **common)
    group = factories.make_group(members=[alice], endpoints=[endpoint])
    return World(
        people,
        {
            "resources": resource.pk,
            "authorizations": authorization.pk,
            "endpoints": asked.pk,
            "groups": group.pk,
            "requests": factories.make_request(user=alice, endpoint=asked).pk,
            "grants": factories.make_grant(user=alice, endpoint=endpoint).pk,
            "users": carol.pk,
            "looks": TargetLook.objects.create(kind=LookKind.MOVE, resource=resource, asked_by=dave).pk,
        },
    )


@contextmanager
def undone(client: Client) -> Iterator[None]:
    """Undo what happens within, in the database and in the client's cookies: the next request finds the same world."""
    cookies = copy.deepcopy(client.cookies)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    client.cookies = cookies
