"""What every URL of the site answers to every method, whoever asks: the rules that no page may forget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.limits import EVERYTHING
from tests.views.walk import PERSONAS, World, places, undone, world

__all__ = ["world"]

HTMX = {"HX-Request": "true"}
REFUSED = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO")
POWERS = ("camera", "microphone", "geolocation", "payment", "usb")
PLACES = places()
pytestmark = pytest.mark.django_db

Answers = Mapping[tuple[str, bool], HttpResponse]
"""What one URL answered one persona: by the method, and whether htmx asked."""


def said(response: HttpResponse) -> dict[str, str]:
    """Return the headers that do not differ between two answers to the same question: Expires is this very second."""
    return {name: value for name, value in response.headers.items() if name not in {"Content-Length", "Expires"}}


def no_answer_is_kept_by_a_browser_or_a_proxy(answers: Answers, persona: str) -> Iterator[object]:
    for asked, response in answers.items():
        if response.status_code >= 500 or "no-store" not in response.get("Cache-Control", ""):
            yield asked, response.status_code


def every_answer_says_what_a_browser_may_do(answers: Answers, persona: str) -> Iterator[object]:
    for asked, response in answers.items():
        wanted = {"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
        if wanted.items() - response.headers.items():
            yield asked, dict(response.headers)
        if "frame-ancestors 'none'" not in response["Content-Security-Policy"]:
            yield asked, response["Content-Security-Policy"]
        if any(f"{power}=()" not in response["Permissions-Policy"] for power in POWERS):
            yield asked, response["Permissions-Policy"]


def head_is_answered_wherever_get_is_and_as_get_is(answers: Answers, persona: str) -> Iterator[object]:
    for is_htmx in (False, True):
        get, head = answers["GET", is_htmx], answers["HEAD", is_htmx]
        if (head.status_code, said(head), head.content) != (get.status_code, said(get), b""):
            yield is_htmx, get.status_code, head.status_code, dict(said(get).items() ^ said(head).items()), head.content


def a_method_that_is_not_taken_is_refused_with_those_that_are(answers: Answers, persona: str) -> Iterator[object]:
    for (method, _), response in answers.items():
        taken = {name.strip() for name in response.get("Allow", "").split(",")}
        expected = {302, 405} if persona == "anonymous" else {403, 405}
        if method in REFUSED and response.status_code not in expected:
            yield method, response.status_code
        if response.status_code == 405 and not (
            taken <= {"GET", "HEAD", "POST"} and ("GET" in taken) == ("HEAD" in taken)
        ):
            yield method, taken


RULES: tuple[Callable[[Answers, str], Iterator[object]], ...] = (
    no_answer_is_kept_by_a_browser_or_a_proxy,
    every_answer_says_what_a_browser_may_do,
    head_is_answered_wherever_get_is_and_as_get_is,
    a_method_that_is_not_taken_is_refused_with_those_that_are,
)


def answers_of(client: Client, url: str, refused: tuple[str, ...]) -> Answers:
    """Ask a URL everything that it may be asked, and some methods that nothing takes; whatever they do is undone."""
    found = {}
    for method, is_htmx in [
        *((name, htmx) for name in ("GET", "HEAD", "POST") for htmx in (False, True)),
        *((name, False) for name in refused),
    ]:
        with undone(client):
            found[method, is_htmx] = client.generic(method, url, headers=HTMX if is_htmx else {})
    return found


@pytest.mark.parametrize("persona", PERSONAS)
def test_every_url_keeps_the_rules_whoever_asks(world: World, persona: str) -> None:
    """Of the methods that nothing takes a persona sends each place one, the next the next: together they send all."""
    client = world.client(persona)
    faults = []
    urls = [*map(world.url, PLACES), f"/requests/new?endpoint={world.keys['endpoints']}"]
    for number, url in enumerate(urls, PERSONAS.index(persona)):
        refused = REFUSED if EVERYTHING else (REFUSED[number % len(REFUSED)],)
        answers = answers_of(client, url, refused)
        faults += [(rule.__name__, url, fault) for rule in RULES for fault in rule(answers, persona)]
    assert not faults


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
