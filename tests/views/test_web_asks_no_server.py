"""No request of a browser waits for a target: no URL connects to one, by whatever method and whoever asks."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Callable
from types import FrameType

import boto3
import psycopg
import pytest
from django.urls import reverse
from django.utils import timezone

from accessmgmt.domain.drift import DriftFinding, DriftKind, Severity
from accessmgmt.domain.looks import LookKind
from accessmgmt.models import DriftCheck, Resource, TargetLook
from tests.looks import do_waiting
from tests.views.resource_form import form_of
from tests.views.walk import PERSONAS, World, places, undone, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
FINDING = DriftFinding(DriftKind.ATTRIBUTE, Severity.ALARM, "jit_x", "It differs.", sql="ALTER ROLE x;", role="jit_x")


def is_in_provisioning(frame: FrameType | None) -> bool:
    while frame is not None:
        if "/accessmgmt/provisioning/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name that provisioning resolves, every address and every AWS client that it opens; all of them fail."""
    seen: list[str] = []

    def spied(what: str, original: Callable[..., object], error: type[Exception]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if is_in_provisioning(sys._getframe(1)):
                seen.append(what)
                raise error(f"{what} is not for the web")
            return original(*args, **kwargs)

        return call

    for place, name, error in (
        (socket.socket, "connect", OSError),
        (socket, "create_connection", OSError),
        (socket, "getaddrinfo", OSError),
        (psycopg, "connect", psycopg.OperationalError),
        (psycopg.Connection, "connect", psycopg.OperationalError),
        (boto3.session, "Session", ValueError),
    ):
        monkeypatch.setattr(place, name, spied(name, getattr(place, name), error))
    return seen


def everything_that_is_sent(world: World) -> list[tuple[str, dict[str, object]]]:
    """Return every URL with nothing, and those that have to do with a server with what makes them ask for a look."""
    resource = Resource.objects.get(pk=world.keys["resources"])
    resource.tls_root_cert = ""
    resource.save()
    TargetLook.objects.all().delete()
    DriftCheck.objects.create(resource=resource, checked_at=timezone.now(), took_ms=1.0, findings=[FINDING.as_json()])

    def url(name: str) -> str:
        return reverse(f"accessmgmt:{name}", args=[resource.pk])

    form = form_of(resource, password="written-again")
    moved = {**form, "host": "127.0.0.2", "is_same_server": "on"}
    repair = {"finding": FINDING.reference, "confirmed": "yes"}
    return [
        (url("resource-test"), {}),
        (reverse("accessmgmt:resource-test-unsaved"), {**form, "resource": ""}),
        (reverse("accessmgmt:resource-create"), {**form, "name": "another"}),
        (url("resource-edit"), {**form, "description": "new"}),
        (url("resource-edit"), moved),
        (url("resource-drift-check"), {}),
        (url("resource-drift-repair"), repair),
        (url("resource-resume"), {"role": "x"}),
        *((world.url(place), {}) for place in places()),
    ]


@pytest.mark.parametrize("persona", PERSONAS)
def test_no_url_asks_a_server(world: World, outgoing: list[str], persona: str) -> None:
    client = world.client(persona)
    for (url, sent), headers in itertools.product(everything_that_is_sent(world), ({}, HTMX)):
        for method in ("get", "post"):
            with undone(client):
                getattr(client, method)(url, sent, headers=headers)
            assert not outgoing, f"{method} {url} asked a server"


def test_what_an_admin_asks_for_is_asked_by_a_worker(world: World, outgoing: list[str]) -> None:
    """The same requests ask for every kind of look, and each kind does ask a server, once a worker is at it."""
    client = world.client("dave")
    asked: set[str] = set()
    for url, sent in everything_that_is_sent(world):
        with undone(client):
            client.post(url, sent)
            assert not outgoing
            if kinds := set(TargetLook.objects.values_list("kind", flat=True)):
                do_waiting()
                assert outgoing, f"a look of kind {kinds} asked nobody"
                outgoing.clear()
            asked |= kinds
    assert asked == set(LookKind)
