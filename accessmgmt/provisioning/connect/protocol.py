"""The first messages of PostgreSQL's protocol, spoken by ourselves.

libpq reports a failed connection as a text in the server's language, without SQLSTATE. These few messages give the
code, and Python's ssl module the reason why a certificate was not accepted. Each conversation has one deadline and a
most of what is listened to: a server that drips bytes, or never stops talking, holds nobody longer than a mute one.
Protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from accessmgmt.domain.certificates import read_der_certificate
from accessmgmt.domain.errors import InvalidError, TargetRefused
from accessmgmt.domain.server_names import ServerNames
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.scram import BOUND_MECHANISM, ScramClient
from accessmgmt.provisioning.connect.tls import NOWHERE, libpq_tls
from accessmgmt.provisioning.session.deadline import Budget

SSL_REQUEST = struct.pack("!II", 8, 80877103)
PROTOCOL_3 = 196608
LONGEST_MESSAGE = 65_536
LONGEST_TEXT = 500
MOST_BYTES, MOST_MESSAGES = 1_048_576, 1_000
"""What a server may say in one sign-in: a real one sends some twenty messages, and one kilobyte."""

AUTHENTICATED, CLEARTEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12


class NotPostgres(Exception):
    """What answers on the port does not speak PostgreSQL's protocol."""


class Wire:
    """An open socket whose reads and writes all end at the same moment, the end of `budget`, with TimeoutError."""

    def __init__(self, wire: socket.socket, budget: Budget) -> None:
        self._wire = wire
        self._budget = budget
        self._bytes_left, self._messages_left = MOST_BYTES, MOST_MESSAGES

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._bound()
        self._wire.sendall(data)

    def send_message(self, kind: bytes, body: bytes) -> None:
        """Send one message of the protocol."""
        self.send(kind + struct.pack("!I", len(body) + 4) + body)

    def read(self, size: int) -> bytes:
        """Read exactly so many bytes. Raises NotPostgres when the server has said too much."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise NotPostgres
        parts = bytearray()
        while len(parts) < size:
            self._bound()
            part = self._wire.recv(size - len(parts))
            if not part:
                raise ConnectionResetError("the server closed the connection")
            parts += part
        return bytes(parts)

    def read_message(self) -> tuple[bytes, bytes]:
        """Read one message: its kind and what it holds."""
        self._messages_left -= 1
        head = self.read(5)
        size = struct.unpack("!I", head[1:])[0] - 4
        if self._messages_left < 0 or not 0 <= size <= LONGEST_MESSAGE:
            raise NotPostgres
        return head[:1], self.read(size)

    @contextmanager
    def encrypted(self, context: ssl.SSLContext, host: str) -> Iterator[Wire]:
        """Shake hands, and yield the encrypted wire. A handshake ends at the socket's timeout as a whole."""
        self._bound()
        with context.wrap_socket(self._wire, server_hostname=host) as encrypted:
            yield Wire(encrypted, self._budget)

    @property
    def own_address(self) -> str:
        """The address that the server sees us at, unless something in between changes it."""
        return str(self._wire.getsockname()[0])

    @property
    def tls_version(self) -> str:
        """The TLS version; "" without encryption."""
        return (self._wire.version() or "") if isinstance(self._wire, ssl.SSLSocket) else ""

    @property
    def certificate(self) -> bytes | None:
        """What the server showed, as DER; None without encryption."""
        return self._wire.getpeercert(binary_form=True) if isinstance(self._wire, ssl.SSLSocket) else None

    def _bound(self) -> None:
        left = self._budget.remaining_seconds
        if left <= 0:
            raise TimeoutError
        self._wire.settimeout(left)


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """How the server answered a sign-in. `sqlstate` is "" when it let us in; `method` is what it asked for.

    `method` is one of "scram", "md5", "cleartext", "none", "other", or "" when it refused before asking.
    `is_pooled` says that a pooler stands before the server: it gave us a process id that is not the backend's.
    `is_password_right` says that SCRAM came to its end: what was refused then was something else. `address` is our own.
    """

    sqlstate: str
    message: str
    method: str
    mechanisms: tuple[str, ...] = ()
    is_pooled: bool = False
    is_password_right: bool = False
    address: str = ""


@contextmanager
def verifying_context(target: Target) -> Iterator[ssl.SSLContext]:
    """Yield an SSL context that verifies the signer as the target's ssl_mode says, like libpq does; not the name."""
    with libpq_tls(target) as settings:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # OpenSSL's rules for names are not libpq's: see encrypted()
        has_authority = settings["sslrootcert"] != NOWHERE
        context.verify_mode = ssl.CERT_REQUIRED if has_authority and target.ssl_mode else ssl.CERT_NONE
        if has_authority:
            context.load_verify_locations(cafile=settings["sslrootcert"])
        if settings["sslcert"] != NOWHERE:
            _load_client(context, target, settings)
        yield context


class WrongName(Exception):
    """The server's certificate is verified, and not for the host that it was asked for at."""

    def __init__(self, names: ServerNames) -> None:
        super().__init__()
        self.names = names


@contextmanager
def encrypted(target: Target, host: str, wire: Wire) -> Iterator[Wire]:
    """Encrypt a wire as the target's ssl_mode says; what it takes and refuses is what libpq does.

    Raises WrongName, ssl.SSLError, OSError and TargetRefused.
    """
    with verifying_context(target) as context, wire.encrypted(context, host) as secured:
        if target.ssl_mode is SslMode.VERIFY_FULL:
            names = _names_in(secured.certificate or b"")
            if not names.are_for(host):
                raise WrongName(names)
        yield secured


def _names_in(der: bytes) -> ServerNames:
    try:
        return read_der_certificate(der).server_names
    except InvalidError:
        return ServerNames()


def _load_client(context: ssl.SSLContext, target: Target, settings: dict[str, Any]) -> None:
    try:
        context.load_cert_chain(settings["sslcert"], settings["sslkey"], password="")
    except (OSError, ValueError) as error:
        does_not_fit = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        raise TargetRefused(
            f"The client key of “{target.name}” does not fit its client certificate."
            if does_not_fit
            else f"The client certificate or key of “{target.name}” cannot be read.",
            why=f"OpenSSL says {error.reason}." if isinstance(error, ssl.SSLError) else "A part of it is missing.",
            todo="Paste the certificate and the key that belong together, as PEM, the key without a passphrase.",
        ) from None


def trusting_context() -> ssl.SSLContext:
    """Return a context that looks at any certificate: to describe what a server shows, never to log in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask_for_tls(wire: Wire) -> bool:
    """Ask for encryption; say whether the server offers it. Raises NotPostgres and OSError."""
    wire.send(SSL_REQUEST)
    answer = wire.read(1)
    if answer == b"S":
        return True
    if answer in {b"N", b"E"}:
        return False
    raise NotPostgres


def channel_binding(der: bytes | None) -> bytes | None:
    """Return what binds a sign-in to the TLS connection of this certificate (RFC 5929, tls-server-end-point)."""
    if der is None:
        return None
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in {"md5", "sha1"} else algorithm.name
    return hashlib.new(name, der).digest()


def log_in(wire: Wire, *, user: str, database: str, password: str, must_bind: bool = False) -> LoginAnswer:
    """Log in and leave again. Sends the password in no other way than SCRAM. Raises NotPostgres and OSError.

    The proof is bound to the TLS connection where the server offers it. With `must_bind` no proof is sent otherwise:
    somebody in between could use it.
    """
    fields = b"".join(
        item.encode() + b"\0" for item in ("user", user, "database", database, "application_name", "access-portal")
    )
    body = struct.pack("!I", PROTOCOL_3) + fields + b"\0"
    wire.send(struct.pack("!I", len(body) + 4) + body)
    method = ""
    mechanisms: tuple[str, ...] = ()
    scram: ScramClient | None = None
    pid, is_right = 0, False
    while True:
        kind, payload = wire.read_message()
        if kind == b"E":
            sqlstate, message = _read_error(payload)
            return LoginAnswer(sqlstate, message, method, mechanisms, is_password_right=is_right)
        if kind == b"K":
            pid = int(struct.unpack("!i", payload[:4])[0])
        if kind == b"Z":
            backend = _ask_pid(wire)
            wire.send_message(b"X", b"")
            return LoginAnswer("", "", method or "none", mechanisms, backend not in {None, pid})
        if kind != b"R":
            continue
        code = struct.unpack("!I", payload[:4])[0]
        if code == SASL:
            mechanisms = tuple(name.decode() for name in payload[4:].split(b"\0") if name)
            method = "scram"
            binding = channel_binding(wire.certificate) if BOUND_MECHANISM in mechanisms else None
            if must_bind and binding is None:
                return LoginAnswer("", "", method, mechanisms)
            scram = ScramClient(password, binding)
            first = scram.first.encode()
            wire.send_message(b"p", scram.mechanism.encode() + b"\0" + struct.pack("!I", len(first)) + first)
        elif code == SASL_CONTINUE and scram is not None:
            wire.send_message(b"p", scram.answer(payload[4:].decode()).encode())
        elif code == SASL_FINAL:
            is_right = True
        elif code != AUTHENTICATED:
            method = {CLEARTEXT: "cleartext", MD5: "md5"}.get(code, "other")
            return LoginAnswer("", "", method)


def _ask_pid(wire: Wire) -> int | None:
    """Ask for the backend's process id; None when it does not say."""
    wire.send_message(b"Q", b"SELECT pg_catalog.pg_backend_pid()\0")
    found: int | None = None
    while True:
        kind, payload = wire.read_message()
        if kind == b"D":
            text = payload[6:].decode(errors="replace")
            found = int(text) if text.isdecimal() else None
        elif kind in {b"E", b"Z"}:
            return found


def _read_error(payload: bytes) -> tuple[str, str]:
    fields = {item[:1]: item[1:].decode(errors="replace") for item in payload.split(b"\0") if item}
    code = fields.get(b"C", "")
    is_code = len(code) == 5 and code.isascii() and code.isalnum()
    return code if is_code else "XX000", fields.get(b"M", "")[:LONGEST_TEXT]
