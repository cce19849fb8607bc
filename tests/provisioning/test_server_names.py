"""Which certificates the portal takes for which host: the same as libpq with verify-full, on a real server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from accessmgmt.domain.certificates import read_certificate
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.diagnose import shake_hands, shown_certificate, try_log_in
from accessmgmt.provisioning.connect.tls import libpq_tls
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.process import wait_until

HOSTS = (
    *("db.example.com", "DB.Example.COM", "example.com", "a.b.example.com", "other.example.org", "localhost"),
    *("127.0.0.1", "127.0.0.2", "::1", "2001:db8::7", "project:instance", "fe80::1%lo"),
)
CERTIFICATES: list[tuple[str, tuple[str, ...]]] = [
    ("db.example.com", ()),
    ("127.0.0.1", ()),
    ("::1", ()),
    ("*.example.com", ()),
    ("project:instance", ()),
    ("other", ("db.example.com",)),
    ("db.example.com", ("other.example.org",)),
    ("127.0.0.1", ("db.example.com",)),
    ("127.0.0.1", ("10.0.0.7",)),
    ("db.example.com", ("10.0.0.7",)),
    ("", ("*.example.com",)),
    ("", ("*.com", "*", "*.*.example.com", "d*.example.com")),
    ("", ("127.0.0.1", "::1")),
    ("", ("2001:db8::7", "LOCALHOST")),
    ("", ()),
]


@pytest.fixture(scope="module")
def server(servers_directory: Path, certificate_authority: CertificateAuthority) -> Iterator[PostgresServer]:
    made = PostgresServer(
        18, servers_directory / "server-names", tls=certificate_authority.server(), durable=False
    ).start()
    yield made
    made.destroy()


def show_certificate(
    server: PostgresServer, target: Target, authority: CertificateAuthority, common: str, names: tuple[str, ...]
) -> None:
    """Let the server show another certificate, and wait until it does."""
    server.tls = authority.server(names, common_name=common)
    server.reload()
    wanted = read_certificate(server.tls.certificate_pem).fingerprint

    def is_shown() -> bool:
        found = shown_certificate(target, "127.0.0.1")
        return found is not None and found.fingerprint == wanted

    wait_until(is_shown, timeout=60, what="the new certificate")


def refused_by_libpq(target: Target, host: str) -> str:
    """Connect as the portal does, at an address of its own, so that only the certificate decides; "" when it may."""
    try:
        with libpq_tls(target) as tls:
            psycopg.connect(
                host=host, hostaddr="127.0.0.1", port=target.port, dbname=target.database_name, user=target.username,
                password=target.password, connect_timeout=30, **tls,
            ).close()  # fmt: skip
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def refusal_of(look: Callable[[Target, str], object], target: Target, host: str) -> TargetRefused | None:
    try:
        look(target, host)
    except TargetRefused as refusal:
        return refusal
    return None


@pytest.mark.parametrize(("common_name", "names"), CERTIFICATES)
def test_the_connection_test_takes_the_certificates_that_libpq_takes(
    server: PostgresServer,
    certificate_authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
    common_name: str,
    names: tuple[str, ...],
) -> None:
    to_the_server = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda at, **kw: to_the_server(("127.0.0.1", at[1]), **kw))
    target = Target(
        9, "names", "127.0.0.1", server.port, "postgres", "postgres", server.password, SslMode.VERIFY_FULL,
        certificate_authority.pem,
    )  # fmt: skip
    show_certificate(server, target, certificate_authority, common_name, names)
    for host in HOSTS:
        libpq_says = refused_by_libpq(target, host)
        assert not libpq_says or "certificate" in libpq_says
        for look in (shake_hands, try_log_in):
            refusal = refusal_of(look, target, host)
            assert (refusal is None) == (libpq_says == ""), (host, libpq_says, str(refusal))
            if refusal is not None:
                assert refusal.what == f"The server's certificate is not for “{host}”."
                counted = refusal.why.partition(" Its common name")[0]
                assert counted == "It holds no name at all." or counted.removeprefix("It is for ").strip(" .")
                assert host not in counted.removeprefix("It is for ").rstrip(".").split(", ")
                assert "certificate for this" in refusal.todo


def test_no_host_is_left_without_a_verdict_of_both_kinds() -> None:
    """The matrix above compares something: each kind of host is taken by some certificate and refused by another."""
    verdicts = {
        host: {
            read_certificate(CertificateAuthority("x").server(names, common_name=common).certificate_pem)
            .server_names.are_for(host)
            for common, names in CERTIFICATES
        }
        for host in HOSTS
        if host not in {"127.0.0.2", "example.com", "a.b.example.com", "fe80::1%lo"}
    }  # fmt: skip
    assert set(map(frozenset, verdicts.values())) == {frozenset({True, False})}
