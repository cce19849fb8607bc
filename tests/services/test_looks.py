"""Few requests wait for servers at a time; the rest of them are told so at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from django.test import Client

from accessmgmt.domain.errors import BusyError
from accessmgmt.domain.targets import Target
from accessmgmt.models import Resource, User
from accessmgmt.services import connection_test, drift, looks
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """As many as may be at it are."""
    with ExitStack() as stack:
        for _ in range(looks.MOST_AT_ONCE):
            stack.enter_context(looks.few_at_once())
        yield stack


def acts(resource: Resource, admin: User) -> dict[str, Callable[[], object]]:
    """Return everything that a request does with a server while somebody waits."""
    moved = Resource.objects.get(pk=resource.pk)
    moved.host = "moved.example.invalid"
    return {
        "test": lambda: connection_test.test_connection(actor=admin, resource=resource),
        "move": lambda: connection_test.check_same_server(actor=admin, resource=moved),
        "check": lambda: drift.check_now(actor=admin, resource=resource),
        "repair": lambda: drift.repair_now(actor=admin, resource=resource, keys=[]),
    }


def test_one_too_many_is_sent_away_and_comes_in_when_there_is_room(dave: User, crowd: ExitStack) -> None:
    resource = factories.make_resource()
    for what, act in acts(resource, dave).items():
        with pytest.raises(BusyError, match="right now"):
            act()
        assert what
    crowd.close()
    assert connection_test.test_connection(actor=dave, resource=resource)
    assert drift.check_now(actor=dave, resource=resource).error


def test_a_place_is_free_again_after_a_failure(dave: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(target: Target, *_: object, **__: object) -> object:
        raise RuntimeError(replace(target, password="").name)

    monkeypatch.setattr(connection_test.check, "test_connection", fail)
    for _ in range(looks.MOST_AT_ONCE + 1):
        with pytest.raises(RuntimeError):
            connection_test.test_connection(actor=dave, resource=factories.make_resource())


@pytest.mark.usefixtures("crowd")
def test_the_page_says_what_to_do(dave: User, client_for: Callable[[User], Client]) -> None:
    answer = client_for(dave).post(f"/resources/{factories.make_resource().pk}/test")
    assert answer.status_code == 503
    assert "Try again in a moment" in answer.content.decode()
