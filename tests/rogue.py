"""Servers that do all that a server should not: each takes connections, and then drips, floods, lies or keeps still.

A server is one thread for each connection in the process of the test. What it does is a function of this module that
gets the open socket; `BEFORE_LOG_IN` and `AFTER_LOG_IN` name them, but for the one that costs a processor.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

DRIP_SECONDS = 0.1
LONG = 29_000  # the longest error that libpq listens to is a little longer
TLS_RECORD = b"\x16\x03\x03\x3f\x00"
ROUNDS = 1_500_000
Behaviour = Callable[["Talk"], None]


@dataclass
class Talk:
    """One connection. `is_over` is set when the server is closed: then every behaviour ends."""

    wire: socket.socket
    is_over: threading.Event
    context: ssl.SSLContext | None = None

    def send(self, kind: bytes, body: bytes) -> None:
        self.wire.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def drip(self, kind: bytes, length: int = LONG) -> None:
        """Begin a message of this length, then send a byte now and then."""
        self.wire.sendall(kind + struct.pack("!I", length))
        self.drip_bytes()

    def drip_bytes(self) -> None:
        while not self.is_over.wait(DRIP_SECONDS):
            self.wire.sendall(b"x")

    def wait(self) -> None:
        """Keep still until the client has gone."""
        while not self.is_over.is_set():
            readable, _, _ = select.select([self.wire], [], [], DRIP_SECONDS)
            if readable and not self.wire.recv(10_000):
                return

    def refuse_tls(self) -> None:
        """Read the request for encryption and say no; read what the client sends then."""
        self.wire.recv(8)
        self.wire.sendall(b"N")
        self.wire.recv(10_000)

    def let_in(self) -> None:
        """Let the client in without any question, up to the first statement."""
        self.refuse_tls()
        self.send(b"R", struct.pack("!I", 0))
        for name, value in (("server_version", "18.0"), ("client_encoding", "UTF8"), ("in_hot_standby", "off")):
            self.send(b"S", name.encode() + b"\0" + value.encode() + b"\0")
        self.send(b"K", struct.pack("!II", 4711, 1))
        self.send(b"Z", b"I")
        self.wire.recv(10_000)


def closes(talk: Talk) -> None:
    """Close at once."""


def says_nothing(talk: Talk) -> None:
    talk.wait()


def half_closes(talk: Talk) -> None:
    talk.wire.shutdown(socket.SHUT_WR)
    talk.wait()


def speaks_http(talk: Talk) -> None:
    talk.wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    talk.wait()


def drips_an_error(talk: Talk) -> None:
    talk.refuse_tls()
    talk.drip(b"E")


def drips_in_the_handshake(talk: Talk) -> None:
    talk.wire.recv(8)
    talk.wire.sendall(b"S" + TLS_RECORD)
    talk.drip_bytes()


def drips_within_tls(talk: Talk) -> None:
    assert talk.context is not None
    talk.wire.recv(8)
    talk.wire.sendall(b"S")
    with talk.context.wrap_socket(talk.wire, server_side=True) as encrypted:
        encrypted.recv(10_000)
        Talk(encrypted, talk.is_over).drip(b"E")


def drips_a_question(talk: Talk) -> None:
    """Drip the message that asks for a sign-in."""
    talk.refuse_tls()
    talk.drip(b"R", 1_500)


def asks_for_many_rounds(talk: Talk) -> None:
    """Ask for a key derivation that takes many seconds. It might as well be an hour."""
    talk.refuse_tls()
    talk.send(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
    first = talk.wire.recv(10_000)
    nonce = first.rpartition(b"r=")[2].decode()
    talk.send(b"R", struct.pack("!I", 11) + f"r={nonce}abc,s=c2FsdHNhbHRzYWx0c2FsdA==,i={ROUNDS}".encode())
    talk.wait()


def floods_with_notices(talk: Talk) -> None:
    talk.refuse_tls()
    talk.send(b"R", struct.pack("!I", 0))
    while not talk.is_over.is_set():
        talk.send(b"N", b"SNOTICE\0C00000\0Mhello\0\0")


def floods_with_settings(talk: Talk) -> None:
    talk.refuse_tls()
    talk.send(b"R", struct.pack("!I", 0))
    while not talk.is_over.is_set():
        talk.send(b"S", b"work_mem\0004MB\0")


def sends_half_numbers(talk: Talk) -> None:
    """Send a question that is too short to hold its number."""
    talk.refuse_tls()
    talk.send(b"R", b"\0")
    talk.wait()


def never_answers_a_statement(talk: Talk) -> None:
    talk.let_in()
    talk.wait()


def drips_a_row(talk: Talk) -> None:
    talk.let_in()
    talk.send(b"T", struct.pack("!H", 1) + b"pid\0" + struct.pack("!IHIhih", 0, 0, 23, 4, -1, 0))
    talk.drip(b"D", 1_000_000)


def floods_with_rows(talk: Talk) -> None:
    talk.let_in()
    talk.send(b"T", struct.pack("!H", 0))
    rows = (b"D" + struct.pack("!IH", 6, 0)) * 4_000
    while not talk.is_over.is_set():
        talk.wire.sendall(rows)


def floods_with_warnings(talk: Talk) -> None:
    talk.let_in()
    while not talk.is_over.is_set():
        talk.send(b"N", b"SWARNING\0C01000\0Mhello\0\0")


def answers_nonsense(talk: Talk) -> None:
    """Say to each statement that it was done, without a row."""
    talk.let_in()
    while not talk.is_over.is_set():
        talk.send(b"C", b"SELECT 0\0")
        talk.send(b"Z", b"I")
        if not talk.wire.recv(10_000):
            return


BEFORE_LOG_IN: Mapping[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        closes,
        says_nothing,
        half_closes,
        speaks_http,
        drips_an_error,
        drips_in_the_handshake,
        drips_within_tls,
        drips_a_question,
        floods_with_notices,
        floods_with_settings,
        sends_half_numbers,
    )
}
AFTER_LOG_IN: Mapping[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        never_answers_a_statement,
        drips_a_row,
        floods_with_rows,
        floods_with_warnings,
        answers_nonsense,
    )
}


@dataclass
class Rogue:
    """A server that behaves badly. `talks` counts the connections that are open now."""

    listener: socket.socket
    behaviour: Behaviour
    context: ssl.SSLContext | None = None
    is_over: threading.Event = field(default_factory=threading.Event)
    talks: int = 0
    taken: int = 0
    most: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def run(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(wire,), daemon=True).start()

    def _talk(self, wire: socket.socket) -> None:
        with self._lock:
            self.talks += 1
            self.taken += 1
            self.most = max(self.most, self.talks)
        try:
            with suppress(OSError), wire:
                self.behaviour(Talk(wire, self.is_over, self.context))
        finally:
            with self._lock:
                self.talks -= 1


@contextmanager
def rogue(behaviour: Behaviour, *, context: ssl.SSLContext | None = None) -> Iterator[Rogue]:
    """Run a server on a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = Rogue(listener, behaviour, context)
        threading.Thread(target=server.run, daemon=True).start()
        try:
            yield server
        finally:
            server.is_over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
