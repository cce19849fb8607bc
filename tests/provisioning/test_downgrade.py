"""Somebody in between who says that the server has no TLS gets no proof of the admin's password."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import SslMode
from accessmgmt.provisioning.connect.diagnose import try_log_in
from accessmgmt.provisioning.connect.protocol import SSL_REQUEST
from accessmgmt.provisioning.connect.scram import BOUND_MECHANISM
from tests.provisioning.conftest import Shop


@dataclass
class Liar:
    """Answers every request for TLS with "no", and keeps what it is told afterwards."""

    port: int
    heard: list[bytes] = field(default_factory=list)


@pytest.fixture
def liar() -> Iterator[Liar]:
    listener = socket.create_server(("127.0.0.1", 0))
    liar = Liar(listener.getsockname()[1])

    def lie() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            with wire:
                wire.settimeout(10)
                if wire.recv(len(SSL_REQUEST)) == SSL_REQUEST:
                    wire.sendall(b"N")
                    liar.heard.append(wire.recv(4_096))

    thread = threading.Thread(target=lie)
    thread.start()
    yield liar
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(15)


@pytest.mark.parametrize("mode", [SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL])
def test_nothing_is_said_in_clear(shop: Shop, liar: Liar, mode: SslMode) -> None:
    target = replace(shop.target, port=liar.port, ssl_mode=mode)
    with pytest.raises(TargetRefused, match="does not offer encryption"):
        try_log_in(target, "127.0.0.1")
    assert all(said == b"" for said in liar.heard)


def test_an_unverified_log_in_is_bound_to_its_channel(shop: Shop) -> None:
    answer = try_log_in(replace(shop.target, ssl_mode=SslMode.REQUIRE, tls_root_cert=""), "localhost")
    assert answer.sqlstate == ""
    assert BOUND_MECHANISM in answer.mechanisms
    wrong = replace(shop.target, ssl_mode=SslMode.REQUIRE, tls_root_cert="", password="wrong")
    assert try_log_in(wrong, "localhost").sqlstate == "28P01"
