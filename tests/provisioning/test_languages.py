"""A server that answers in another language: nothing but SQLSTATE decides."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import RungState, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.protocol import SSL_REQUEST
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import to_end
from tests.provisioning.conftest import Shop, new_order, permissions

SENTENCE = "Übersetzte Meldung ohne Schlüsselwörter"
ENCRYPTION_REQUESTS = (SSL_REQUEST, struct.pack("!II", 8, 80877104))  # TLS, GSSAPI
SEVERITIES = {b"ERROR": "FEHLER", b"FATAL": "FATAL", b"WARNING": "WARNUNG", b"NOTICE": "HINWEIS"}


@dataclass
class Interpreter:
    """Stands before a server and replaces every message, detail and hint; codes and all else pass as they are."""

    port: int
    server_port: int
    translated: list[str] = field(default_factory=list)

    def speak(self, client: socket.socket) -> None:
        """Carry one connection until either side closes it."""
        with client, socket.create_connection(("127.0.0.1", self.server_port)) as server:
            back = threading.Thread(target=self._answers, args=(server, client))
            back.start()
            with suppress(OSError):
                while data := client.recv(65_536):
                    if data in ENCRYPTION_REQUESTS:
                        client.sendall(b"N")
                    else:
                        server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join(10)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        stream = server.makefile("rb")
        with suppress(OSError):
            while len(head := stream.read(5)) == 5:
                body = stream.read(struct.unpack("!I", head[1:])[0] - 4)
                if head[:1] in {b"E", b"N"}:
                    body = self._translate(body)
                client.sendall(head[:1] + struct.pack("!I", len(body) + 4) + body)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _translate(self, body: bytes) -> bytes:
        parts = []
        for item in body.rstrip(b"\0").split(b"\0"):
            kind, text = item[:1], item[1:]
            if kind == b"S":
                text = SEVERITIES.get(text, "MELDUNG").encode()
            elif kind in {b"M", b"D", b"H"}:
                text = SENTENCE.encode()
            elif kind == b"C":
                self.translated.append(text.decode())
            parts.append(kind + text + b"\0")
        return b"".join(parts) + b"\0"


@pytest.fixture
def spoken(new_shop: Callable[..., Shop]) -> Iterator[tuple[Shop, Interpreter]]:
    """A shop whose target leads through the interpreter, in clear."""
    shop = new_shop()
    listener = socket.create_server(("127.0.0.1", 0))
    interpreter = Interpreter(listener.getsockname()[1], shop.server.port)

    def listen() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=interpreter.speak, args=(client,), daemon=True).start()

    thread = threading.Thread(target=listen)
    thread.start()
    target = replace(shop.target, host="127.0.0.1", port=interpreter.port, ssl_mode=None, tls_root_cert="")
    yield replace(shop, target=target), interpreter
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def refused(act: Callable[..., object], target: Target, order: object) -> TargetError:
    with pytest.raises(TargetError) as error:
        act(target, order)
    return error.value


def test_a_grant_lives_and_ends(spoken: tuple[Shop, Interpreter]) -> None:
    """With what makes the engine look again: a role that is there, one that is gone, one that something depends on."""
    shop, _ = spoken
    order = new_order(permissions("SELECT,INSERT", "app", "*"))
    receipt = apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        role = sql.Identifier(order.login.role_name)
        dba.execute(sql.SQL("GRANT SELECT ON secret.salaries TO {}").format(role))
        dba.execute(sql.SQL("CREATE SCHEMA of_alice AUTHORIZATION {}").format(role))
        dba.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO jit_quarantine").format(sql.Identifier(shop.database)))
    user = shop.log_in(order)
    ended = end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
    assert len(ended.sessions) == 1
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    assert shop.roles(order) == 0
    assert end_grant(shop.target, to_end(order)).role_was_absent


def test_refusals_and_failures_are_told_apart(spoken: tuple[Shop, Interpreter]) -> None:
    shop, interpreter = spoken
    wanted = permissions("SELECT", "app", f"orders,none_{secrets.token_hex(3)}")
    with shop.as_dba() as dba:
        dba.execute("CREATE TABLE app.theirs (id int)")
    theirs = new_order(permissions("SELECT", "app", "theirs"))
    assert refused(apply_grant, shop.target, theirs).sqlstate == "42501"
    wrong = refused(apply_grant, replace(shop.target, password="wrong"), new_order(wanted))
    assert isinstance(wrong, TargetRefused)
    assert wrong.sqlstate == "28P01"
    nowhere = refused(apply_grant, replace(shop.target, database_name="nowhere"), new_order(wanted))
    assert (type(nowhere), nowhere.sqlstate) == (TargetRefused, "3D000")

    order = new_order(wanted)
    apply_grant(shop.target, order)
    with shop.as_dba() as dba, dba.transaction():
        dba.execute("LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
        started = refused(lambda t, o: apply_grant(t, o, budget_seconds=1.0), shop.target, order)
        assert isinstance(started, TargetUnavailable)
    end_grant(shop.target, to_end(order))
    assert {"28P01", "3D000"} <= set(interpreter.translated)


def test_the_ladder(spoken: tuple[Shop, Interpreter]) -> None:
    shop, _ = spoken
    rungs = {rung.name: rung for rung in ladder.test_connection(shop.target)}
    assert RungState.FAILED not in {rung.state for rung in rungs.values()}, rungs
    for change, words in (
        ({"password": "wrong"}, "does not accept the password"),
        ({"database_name": "nowhere"}, "no database “nowhere”"),
    ):
        [failed] = [r for r in ladder.test_connection(replace(shop.target, **change)) if r.state is RungState.FAILED]  # type: ignore[arg-type]
        assert failed.name == "Log-in"
        assert words in failed.detail
