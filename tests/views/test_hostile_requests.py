"""Nothing that anybody sends makes the site answer with a fault, or work for long: every URL, parameter, field, header.

The URLs come from the resolver, the parameters from what the views read, the fields from the forms on the pages.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from bs4 import BeautifulSoup, Tag

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.provisioning.check import ladder
from tests.limits import EVERYTHING
from tests.views.hostile import (
    BODIES,
    FORM,
    HEADERS,
    MULTIPART,
    PATHS,
    TEXTS,
    Sender,
    form_body,
    names_read,
    query,
    sender,
    unlike_what_it_says,
)
from tests.views.walk import PERSONAS, Place, World, places, world

__all__ = ["names_read", "world"]

PLACES = places()
HTMX = {"HX-Request": "true"}
Headers = Mapping[str, str]
STRANGE = ("\x00", "x" * 2_000, "__proto__", "a[b]", "é")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no hostile address be looked up: what comes of that is not what is asked here."""

    def refuse(*_: Any) -> str:
        raise TargetUnavailable("Nobody is asked here.")

    monkeypatch.setattr(ladder, "test_connection", lambda *_, **__: [])
    monkeypatch.setattr(ladder, "read_cluster", refuse)


@pytest.fixture(autouse=True)
def own_turns(request: pytest.FixtureRequest) -> None:
    """Begin with another value in each test, and with the same one in each run of it."""
    START[0] = zlib.crc32(request.node.name.encode())
    TURNS.clear()


def read_at(world: World, place: Place, method: str, names: set[str]) -> list[str]:
    """Return the names of the parameters or fields that the view of a place reads, in order; the admin may ask all."""
    if (place, method) not in READ:
        with sender(world.client("dave")) as send:
            READ[place, method] = find_names(world.url(place), method, send, names)
    return READ[place, method]


READ: dict[tuple[Place, str], list[str]] = {}


def find_names(url: str, method: str, send: Sender, names: set[str]) -> list[str]:
    """Send what was read so far until nothing more is read."""
    names.clear()
    while True:
        before = set(names)
        pairs = [(name, "1") for name in sorted(before)]
        for headers in ({}, HTMX):
            sent(send, "names", method, url, pairs, headers)
        if names == before:
            return sorted(names)


def sent(
    send: Sender, what: str, method: str, url: str, pairs: Sequence[tuple[str, str | bytes]], headers: Headers
) -> None:
    """Send pairs as the method has them: in the query, or in the body and the beginning of the query as well."""
    if method == "GET":
        send.send(what, "GET", f"{url}?{query(pairs)}", headers=headers)
    else:
        send.send(what, "POST", f"{url}?{query(pairs[:3])}", data=form_body(pairs), content_type=FORM, headers=headers)


@pytest.mark.parametrize("persona", PERSONAS)
def test_objects_that_cannot_be(world: World, persona: str) -> None:
    with sender(world.client(persona)) as send:
        for place in PLACES:
            values = turn(PATHS, 6 if persona == "dave" else 2) if place.arguments else ()
            for number, argument in values:
                url = place.url(*[argument] * len(place.arguments))
                send.send("", ("GET", "POST")[number % 2], url)
        for path in ("//", "/%00", "/%ff", "/..%2f", "/" + "a/" * 5_000, "/" + "%20" * 3_000, "/login/;x", "/\\"):
            send.send("", "GET", path)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("persona", PERSONAS)
def test_parameters_and_fields(world: World, names_read: set[str], persona: str, method: str) -> None:
    """Each place gets values in each of its parameters, all of them at once; the admin more than others."""
    with sender(world.client(persona)) as send:
        for place in PLACES:
            url = world.url(place)
            names = [*read_at(world, place, method, names_read), *STRANGE]
            for first, _ in turn(TEXTS, 8 if persona == "dave" else 2):
                pairs = [(name, TEXTS[(first + 7 * n) % len(TEXTS)]) for n, name in enumerate(names)]
                sent(send, f"value {first}", method, url, pairs, HTMX if first % 2 else {})
            twice: list[tuple[str, str | bytes]] = [(name, value) for name in names for value in ("1", "x")]
            sent(send, "twice", method, url, twice, {})


def test_one_parameter_beside_good_ones(world: World, names_read: set[str]) -> None:
    """A value that is refused early hides what the others do: each parameter is hostile alone as well."""
    with sender(world.client("dave")) as send:
        for place in PLACES:
            url = world.url(place)
            for name in read_at(world, place, "GET", names_read):
                for number, value in turn(TEXTS, 1):
                    sent(send, f"{name}, value {number}", "GET", url, [(name, value)], HTMX if number % 2 else {})


@pytest.mark.parametrize("persona", ["alice", "bob", "dave"])
def test_one_field_beside_good_ones(world: World, persona: str) -> None:
    """Each field of each form on each page is hostile alone, so that what stands behind the form is reached."""
    seen: set[tuple[str, ...]] = set()
    with sender(world.client(persona)) as send:
        for place in PLACES:
            url = world.url(place)
            page = send.send("", "GET", url)
            for action, pairs in forms_of(url, page):
                names = tuple(dict.fromkeys(name for name, _ in pairs))
                if (action, *names) in seen:  # such as the one to log out, which stands on every page
                    continue
                seen.add((action, *names))
                send.send("as it is", "POST", action, data=form_body(pairs), content_type=FORM)
                for name in names:
                    others = [pair for pair in pairs if pair[0] != name]
                    for number, value in turn(TEXTS, 2):
                        data = form_body([*others, (name, value)])
                        send.send(f"{name}, value {number}", "POST", action, data=data, content_type=FORM)
                    send.send(f"no {name}", "POST", action, data=form_body(others), content_type=FORM)


Value = TypeVar("Value")


def turn(values: Sequence[Value], count: int) -> list[tuple[int, Value]]:
    """Return so many of the values, the next ones each time; all of them where everything is to be sent.

    So every value comes to many fields, and every field gets many values, in a run that stays short.
    """
    if EVERYTHING:
        return list(enumerate(values))
    numbers = itertools.islice(TURNS.setdefault(len(values), itertools.count(START[0])), count)
    return [(number % len(values), values[number % len(values)]) for number in numbers]


START = [0]
TURNS: dict[int, Iterator[int]] = {}  # a list of each length has turns of its own, so that each value has its turn
METHODS = itertools.cycle(("GET", "POST"))


def forms_of(url: str, page: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Return the action and the fields of every form of a page that posts, with good values."""
    if page is None or not page.content or not page["Content-Type"].startswith("text/html"):
        return
    for form in BeautifulSoup(page.content, "html.parser").find_all("form"):
        if str(form.get("method", "")).lower() == "post":
            fields = form.find_all(["input", "textarea", "select", "button"])
            yield str(form.get("action") or url), [pair for tag in fields for pair in good_value(tag)]


GOOD = {"email": "new@company.com", "password": "seven-green-lanterns-hum", "number": "1", "checkbox": "on"}


def good_value(tag: Tag) -> list[tuple[str, str]]:
    """Return what a person might leave in a field."""
    name = str(tag.get("name") or "")
    if not name or name == "csrfmiddlewaretoken":
        return []
    kind = str(tag.get("type") or tag.name)
    if tag.name == "select":
        options = [str(option.get("value") or "") for option in tag.find_all("option")]
        return [(name, next(filter(None, options), ""))]
    text = tag.get_text() if tag.name == "textarea" else str(tag.get("value") or "")
    return [(name, text or GOOD.get(kind, "a text that is long enough"))]


@pytest.mark.parametrize("persona", ["anonymous", "dave"])
def test_headers(world: World, persona: str) -> None:
    """Each header goes to every third place; the sign-in and the home page get each value of each."""
    with sender(world.client(persona)) as send:
        for number, place in enumerate(PLACES):
            is_whole = EVERYTHING or place.route in {"", "login/"}
            for name, values in list(HEADERS.items())[0 if is_whole else number % 3 :: 1 if is_whole else 3]:
                for value in values if is_whole else [values[number // 3 % len(values)]]:
                    send.send(f"{name}: {value!r}", next(METHODS), world.url(place), headers={name: value})


def test_bodies(world: World) -> None:
    with sender(world.client("dave")) as send:
        for place in PLACES:
            url = world.url(place)
            for _, (content_type, body) in turn(BODIES, 2):
                send.send(f"{content_type} {body[:40]!r}", "POST", url, data=body, content_type=content_type)
            for _, length in turn(("0", "x", "-1", "3", "9999", "9" * 5_000, "٣", "1e3"), 2):
                send.send(f"length {length}", "POST", url, **unlike_what_it_says(b"name=abcdef", length))


def test_files_where_texts_are_expected(world: World, names_read: set[str]) -> None:
    with sender(world.client("dave")) as send:
        for place in PLACES:
            url = world.url(place)
            names = read_at(world, place, "POST", names_read)
            for _, content in turn((b"", b"\x00\xff", b"x" * 100_000), 1):
                body = b"".join(part_of(name, content) for name in names) + b"--b--\r\n"
                send.send(f"files of {len(content)}", "POST", url, data=body, content_type=MULTIPART)


def part_of(name: str, content: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="x\u202e.pem"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def test_a_fault_would_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Sequence[str]:
        raise RuntimeError("as if a view had a fault")

    monkeypatch.setattr("accessmgmt.views.people.users.users_for_list", fail)
    with pytest.raises(AssertionError, match="as if a view had a fault"), sender(world.client("dave")) as send:
        send.send("", "GET", "/users/")
