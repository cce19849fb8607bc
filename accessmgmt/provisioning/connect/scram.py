"""SCRAM-SHA-256: the verifier that a server keeps, and the client's side of a sign-in (RFC 5802, RFC 7677)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import unicodedata
from dataclasses import dataclass, field

from psycopg import pq

ROUNDS = 4_096
MOST_ROUNDS = 1_000_000
LIBPQ_WITH_KEYS = 180_000
MECHANISM = "SCRAM-SHA-256"
BOUND_MECHANISM = "SCRAM-SHA-256-PLUS"


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What one derivation from a password gives: the server's verifier, and the keys by which a client proves it.

    The keys are as good as the password itself on servers with this verifier.
    """

    verifier: str
    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def derive_keys(password: str) -> ScramKeys:
    """Derive the keys of an ASCII password with a fresh salt: the only slow step, and libpq takes three times as long.

    Raises ValueError for other than ASCII, which would have to be prepared first (SASLprep).
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("the password of a login role is printable ASCII")
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    verifier = f"{MECHANISM}${ROUNDS}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"
    return ScramKeys(verifier, client_key, server_key)


def make_verifier(password: str) -> str:
    """Return what PostgreSQL stores in place of an ASCII password, so that the password never reaches the server.

    The same as libpq's PQencryptPasswordConn makes. Raises ValueError for other than ASCII.
    """
    return derive_keys(password).verifier


def libpq_keys(keys: ScramKeys) -> dict[str, str]:
    """Return the keys as libpq 18 and later takes them, which then derives nothing; nothing for an earlier one."""
    if pq.version() < LIBPQ_WITH_KEYS:
        return {}
    return {"scram_client_key": _text(keys.client_key), "scram_server_key": _text(keys.server_key)}


class ScramClient:
    """One sign-in, bound to the TLS channel when `binding` (RFC 5929, tls-server-end-point) is given."""

    def __init__(self, password: str, binding: bytes | None = None) -> None:
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._bare = "n=,r=" + secrets.token_urlsafe(18)
        header = "n,," if binding is None else "p=tls-server-end-point,,"
        self._channel = header.encode() + (binding or b"")
        self.mechanism = MECHANISM if binding is None else BOUND_MECHANISM
        self.first = header + self._bare

    def answer(self, challenge: str) -> str:
        """Return the proof for the server's challenge. Raises ValueError when the challenge makes no sense."""
        parts = dict(item.split("=", 1) for item in challenge.split(","))
        rounds = int(parts["i"])
        if not 0 < rounds <= MOST_ROUNDS:
            raise ValueError("unreasonable number of rounds")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(parts["s"]), rounds)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c={_text(self._channel)},r={parts['r']}"
        signed = hmac.digest(
            hashlib.sha256(client_key).digest(), f"{self._bare},{challenge},{final}".encode(), "sha256"
        )
        proof = bytes(a ^ b for a, b in zip(client_key, signed, strict=True))
        return f"{final},p={_text(proof)}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
