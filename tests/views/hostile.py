"""Hostile requests: values for parameters, headers and bodies, and a sender that notes every answer that is a fault.

What a view reads is noted while it runs, so the parameters of a new view are found without being listed.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django.core.signals import got_request_exception
from django.http import HttpResponse
from django.test import Client
from django.utils.datastructures import MultiValueDict

from tests.limits import cpu_limit
from tests.views.walk import undone

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
LONG = 100_000
LONGEST_IN_A_LINE = 5_000

TEXTS: tuple[str | bytes, ...] = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "x" * LONG,
    "é" * 3_000,
    "a@" * (LONG // 2),
    "a." * (LONG // 2),
    " " * LONG + "x",
    "\r\nSet-Cookie: a=b",
    "\u202egnp.exe\u2066",
    "\u200b\ufeff\u2028",
    "\U0001f469\u200d\U0001f467 İ ﬁ ß \u0130",
    b"\xff\xfe\xed\xa0\x80",
    "-1",
    "0",
    "1",
    "٣",
    "2147483648",
    "9223372036854775808",
    "9" * 5_000,
    "1e999",
    "NaN",
    "last",
    "-name",
    "all:" + "9" * 40,
    "resource:-1",
    "null",
    "[]",
    "{}",
    '"\\ud800"',
    "[" * 20_000,
    '{"a":' * 5_000,
    '{"grants":["SELECT"],"schemas":["\\ud800"],"tables":["*"]}',
    '{"grants":["SELECT"],"schemas":["a\\u0000"],"tables":["*"]}',
    '{"grants":{"a":1},"schemas":7,"tables":null}',
    '{"grants":[[[]]],"schemas":[NaN],"tables":[1e999]}',
    "9" * 5_000 + "h",
    "1h" * 3_000,
    "0001-01-01",
    "9999-12-31",
    "2024-13-99",
    "../../../../etc/passwd",
    "' OR 1=1 --",
    "%s%n{0}${x}{{x}}",
    "<script>alert(1)</script>",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    "-----BEGIN CERTIFICATE-----\n" * 3_000,
    "-----BEGIN PRIVATE KEY-----\n" + "A" * LONG,
    "postgres://a:b@[::1%eth0]:99999/x?host=/tmp",
    "[" * 200 + "::1",
    "xn--" + "a" * 300 + "." * 300,
)
PATHS = (
    "0",
    "1",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "9" * 40,
    "9" * 5_000,
    "-1",
    "%00",
    "%ff",
)
PATHS += ("x", "..", "00000000-0000-0000-0000-000000000000", "%2e%2e%2f", "1;a=b", "1%0d%0aX: y", "é", "٣", "%D9%A3")
HEADERS: Mapping[str, Sequence[str]] = {
    "HX-Request": ("true", "\x01", "x" * 9_000),
    "HX-Current-URL": ("http://[", "//x", "é", "http://testserver/" + "x" * 9_000, "http://testserver:x/", "\x00"),
    "HX-Target": ("'\"<>", "x" * 9_000),
    "HX-Trigger": ("'\"<>", "\xff"),
    "HX-Boosted": ("true",),
    "HX-Prompt": ("\xff", "%ff"),
    "HX-History-Restore-Request": ("true", "\xff"),
    "Triggering-Event": ("{", "[" * 20_000, "%ff"),
    "Host": ("", "evil.example", "[", "[::1", "a b", "x" * 9_000, "testserver:99999999", "testserver:x", "\xff", "a@b"),
    "Accept": ("*/*;q=x", "," * 9_000, "\xff"),
    "Accept-Language": ("x" * 9_000, "en;q=NaN", "," * 9_000, "\xff"),
    "Accept-Encoding": ("gzip;q=x", "\xff"),
    "Range": ("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=" + "0-1," * 2_000, "x"),
    "If-Modified-Since": ("x", "Thu, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 0000 00:00:00 GMT"),
    "If-None-Match": ("*", '"', "x" * 9_000),
    "Content-Length": ("x", "-1", "9" * 30, "0"),
    "Content-Type": (
        "",
        "/",
        "text/html",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 300,
        FORM + "; charset=utf-7",
        FORM + "; charset=" + "x" * 9_000,
        "\xff",
    ),
    "Cookie": (
        "sessionid=x",
        "sessionid=" + "x" * 9_000,
        "csrftoken=\xff; messages=x",
        "messages=" + "[" * 3_000,
        "=;=;,",
        "known_browser=x:y:z; sessionid=\x00",
        'messages="\\"',
        "a=b;" * 2_000,
    ),
    "Referer": ("http://[", "x" * 9_000, "\xff"),
    "Origin": ("null", "http://[", "x" * 9_000),
    "User-Agent": ("\xff", "x" * 9_000),
    "X-CSRFToken": ("x", "\xff", "x" * 9_000),
    "X-Forwarded-For": ("x", "," * 9_000, "[::1", "127.0.0.1:99999", "\xff"),
    "X-Forwarded-Proto": ("https", "x", "https,http"),
    "X-Forwarded-Host": ("evil.example", "["),
    "Authorization": ("Basic \xff", "Bearer " + "x" * 9_000),
}  # fmt: skip
PART = b'--b\r\nContent-Disposition: form-data; name="name"'
BODIES: Sequence[tuple[str, bytes]] = (
    ("application/json", b"[" * 50_000),
    ("application/json", b'{"a": "\\ud800"}'),
    ("application/json; charset=x", b"\xff"),
    ("text/plain", b"name=x"),
    (FORM, b"&" * 5_000),
    (FORM, b"=" * 5_000),
    (FORM, b"%" * 5_000),
    (FORM, b"&".join(b"n%d=x" % number for number in range(2_000))),
    (FORM, b"name=" + b"x" * 3_000_000),
    (FORM + "; charset=utf-16", b"name=x"),
    ("multipart/form-data", PART),
    (MULTIPART, b""),
    (MULTIPART, b"\x00" * 100),
    (MULTIPART, PART),
    (MULTIPART, PART + b"\r\n\r\nx\r\n"),
    (MULTIPART, PART + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%\r\n--b--\r\n"),
    (MULTIPART, PART + b'; filename="\\..\\\x00"\r\nContent-Type: x/y; charset=z\r\n\r\nx\r\n--b--'),
    (MULTIPART, PART + b"; filename*=UTF-8''%ff\r\n\r\nx\r\n--b--\r\n"),
    (MULTIPART, b"--b\r\n" * 3_000),
)


@dataclass(slots=True)
class Sender:
    """Sends requests whose effects are undone, and notes answers of 500 and up; one that never ends fails the test."""

    client: Client
    faults: list[str] = field(default_factory=list)
    sent: int = 0
    _raised: str = ""

    def send(self, what: str, method: str, url: str, **request: Any) -> HttpResponse | None:
        """Send one request; `what` says in the note what was hostile about it."""
        self.sent += 1
        self._raised = ""
        response = None
        with undone(self.client), cpu_limit(f"{method} {url[:120]} {what[:160]}", seconds=30):
            try:
                response = self.client.generic(method, url, **request)
            except Exception as error:
                self._raised = self._raised or f"{type(error).__name__}: {error}"
        if response is None or response.status_code >= 500:
            status = response.status_code if response is not None else "none"
            self.faults.append(f"{method} {url[:120]} {what[:160]} -> {status} {self._raised[:300]}")
        return response

    def note_exception(self, **_: object) -> None:
        """Keep what Django turned into an answer."""
        self._raised = repr(sys.exc_info()[1])

    def check(self) -> None:
        """Fail with everything that was noted."""
        assert self.sent
        shown = "\n".join(self.faults[:60])
        assert not self.faults, f"{len(self.faults)} of {self.sent} requests:\n{shown}"


@contextmanager
def sender(client: Client) -> Iterator[Sender]:
    """Give a sender, and fail at the end when there was a fault."""
    made = Sender(client)
    got_request_exception.connect(made.note_exception, weak=False)
    try:
        yield made
    finally:
        got_request_exception.disconnect(made.note_exception)
    made.check()


@pytest.fixture
def names_read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all parameters, fields and files that anything has read so far in this test."""
    found: set[str] = set()

    def noting(read: Callable[..., Any]) -> Callable[..., Any]:
        def read_and_note(self: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(key, str):
                found.add(key)
            return read(self, key, *args, **kwargs)

        return read_and_note

    for name in ("__getitem__", "getlist", "__contains__"):
        monkeypatch.setattr(MultiValueDict, name, noting(getattr(MultiValueDict, name)), raising=False)
    return found


def form_body(pairs: Sequence[tuple[str, str | bytes]]) -> str:
    """Write pairs as the body of a form; values may be bytes that are no text."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)


def query(pairs: Sequence[tuple[str, str | bytes]]) -> str:
    """Write pairs as a query, each value cut to more than what a server takes in a line."""
    return form_body([(name, value[:LONGEST_IN_A_LINE]) for name, value in pairs])


@lru_cache(maxsize=500)
def quoted(value: str | bytes) -> str:
    return quote_from_bytes(value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass"))


def unlike_what_it_says(body: bytes, length: str) -> dict[str, Any]:
    """Return the environment of a request whose Content-Length is not that of its body."""
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": length, "CONTENT_TYPE": FORM}
