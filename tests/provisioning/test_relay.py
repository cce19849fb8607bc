"""Servers that are not what they say: none of them is told the password, nor a proof that somebody else could use."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.admin import admin_connection, connect_login
from accessmgmt.provisioning.connect.protocol import SSL_REQUEST
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop


def carry(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, until either side closes."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(shop: Shop, tmp_path: Path) -> Iterator[int]:
    """The port of somebody in between: TLS with a certificate of their own, and in clear on to the real server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key, _ = CertificateAuthority("Somebody").server().write(tmp_path, "relay")
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def speak(client: socket.socket) -> None:
        with suppress(OSError), client:
            if client.recv(len(SSL_REQUEST)) != SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                context.wrap_socket(client, server_side=True) as secure,
                socket.create_connection(("127.0.0.1", shop.server.port)) as server,
            ):
                back = threading.Thread(target=carry, args=(server, secure), daemon=True)
                back.start()
                carry(secure, server)
                back.join(5)

    def listen() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=speak, args=(client,), daemon=True).start()

    thread = threading.Thread(target=listen)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def test_a_log_in_is_not_relayed(shop: Shop, relay: int) -> None:
    """Encrypted and unverified, only channel binding shows that the other end is not the server."""
    target = replace(shop.target, port=relay, ssl_mode=SslMode.REQUIRE, tls_root_cert="", name="relayed")
    options = {"host": "localhost", "hostaddr": "127.0.0.1", "port": relay, "dbname": shop.database}
    unbound = {"user": target.username, "password": target.password, "sslmode": "require", "channel_binding": "disable"}
    psycopg.connect(**options, **unbound).close()  # type: ignore[arg-type]  # the trap is there
    with pytest.raises(TargetError, match="could not be made safe"), admin_connection(target):
        pass
    with pytest.raises(TargetError, match="could not be made safe"):
        connect_login(target, role=target.username, password=target.password, server_version=18, timeout_seconds=5)
    with admin_connection(replace(target, port=shop.server.port, name="direct")) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("method", ["password", "md5", "trust"])
def test_only_scram_is_spoken(
    own_server: Callable[..., PostgresServer], certificate_authority: CertificateAuthority, method: str
) -> None:
    """A rogue server asks for the password in clear, for its MD5, or for nothing at all."""
    server = own_server(18)
    server.execute(
        "SET password_encryption = 'md5'; CREATE ROLE asked SUPERUSER LOGIN PASSWORD 'admin-pa55word'",
    )
    server.hba = ["host all postgres 127.0.0.1/32 scram-sha-256", f"host all asked 127.0.0.1/32 {method}"]
    server.reload()
    server.connect("postgres", "asked", ADMIN_PASSWORD).close()
    target = Target(
        5, f"rogue-{method}", "localhost", server.port, "postgres", "asked", ADMIN_PASSWORD, SslMode.VERIFY_FULL,
        certificate_authority.pem,
    )  # fmt: skip
    with pytest.raises(TargetRefused) as refusal, admin_connection(target):
        pass
    assert ADMIN_PASSWORD not in f"{refusal.value}"
