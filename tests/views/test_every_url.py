"""What every URL of the site answers to every method, whoever asks: the rules that no page may forget."""

from __future__ import annotations

import itertools

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.views.walk import PERSONAS, World, places, undone, world

__all__ = ["world"]

HTMX = {"HX-Request": "true"}
REFUSED = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO")
ASKED = [(method, {}) for method in ("GET", "HEAD", "POST", *REFUSED[:1])] + [("GET", HTMX), ("POST", HTMX)]
PLACES = places()
pytestmark = pytest.mark.django_db


@pytest.fixture(params=PERSONAS)
def persona(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def said(response: HttpResponse) -> dict[str, str]:
    """Return the headers that do not differ between two answers to the same question."""
    return {name: value for name, value in response.headers.items() if name != "Content-Length"}


def test_no_answer_is_kept_by_a_browser_or_a_proxy(world: World, persona: str) -> None:
    client = world.client(persona)
    kept = []
    for place, (method, headers) in itertools.product(PLACES, ASKED):
        with undone(client):
            response = client.generic(method, world.url(place), headers=headers)
        if response.status_code >= 500 or "no-store" not in response.get("Cache-Control", ""):
            kept.append((place.name, method, response.status_code, headers))
    assert not kept


def test_every_answer_says_what_a_browser_may_do(world: World, persona: str) -> None:
    client = world.client(persona)
    for place in PLACES:
        response = client.get(world.url(place))
        assert response["Referrer-Policy"] == "same-origin", place
        assert response["X-Content-Type-Options"] == "nosniff", place
        assert response["X-Frame-Options"] == "DENY", place
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"], place
        for power in ("camera", "microphone", "geolocation", "payment", "usb"):
            assert f"{power}=()" in response["Permissions-Policy"], place


def test_head_is_answered_wherever_get_is_and_as_get_is(world: World, persona: str) -> None:
    client = world.client(persona)
    different = []
    urls = [*map(world.url, PLACES), f"/requests/new?endpoint={world.keys['endpoints']}"]
    for url, headers in itertools.product(urls, ({}, HTMX)):
        get, head = client.get(url, headers=headers), client.head(url, headers=headers)
        if (head.status_code, said(head), head.content) != (get.status_code, said(get), b""):
            different.append((url, get.status_code, head.status_code, headers))
    assert not different


def test_a_method_that_is_not_taken_is_refused_with_those_that_are(world: World, persona: str) -> None:
    client = world.client(persona)
    for place, method in itertools.product(PLACES, REFUSED):
        response = client.generic(method, world.url(place))
        assert response.status_code in ({302, 405} if persona == "anonymous" else {403, 405}), (place, method)
        if response.status_code == 405:
            taken = {name.strip() for name in response["Allow"].split(",")}
            assert taken <= {"GET", "HEAD", "POST"}, place
            assert ("GET" in taken) == ("HEAD" in taken), place


def test_neither_a_header_nor_a_parameter_makes_a_get_into_a_post(world: World) -> None:
    client = world.client("dave")
    names = ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")
    for place in PLACES:
        url = world.url(place)
        overridden = client.get(f"{url}?_method=POST", headers=dict.fromkeys(names, "POST"))
        assert overridden.status_code == client.get(url).status_code, place


def test_what_is_no_page_is_not_kept_either(client: Client, db: None) -> None:
    for path in ("/nowhere", "/grants/nowhere", "/users/0/edit"):
        response = client.get(path)
        assert "no-store" in response["Cache-Control"]
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert "no-store" in client.get("/", headers={"Host": "evil.example"})["Cache-Control"]


def test_static_files_may_be_kept(client: Client) -> None:
    response = client.get("/static/css/setup.css")
    assert response.status_code == 200
    assert "no-store" not in response.get("Cache-Control", "")
