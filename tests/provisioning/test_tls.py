"""Certificates on both sides: each way they do not fit has words of its own, in the ladder and in what apply says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.targets import RungState, SslMode, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import admin_connection, close_pools
from accessmgmt.provisioning.end.grants import end_grant
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from tests.orders import to_end
from tests.provisioning.conftest import new_order, permissions

OTHER = CertificateAuthority("Another authority")


def refused(target: Target, rung_name: str, words: str) -> None:
    """The ladder stops at this rung with these words, and apply is refused with the same."""
    close_pools()
    failed = [rung for rung in ladder.test_connection(target) if rung.state is RungState.FAILED]
    assert [rung.name for rung in failed] == [rung_name], failed
    assert words in failed[0].detail
    assert failed[0].fix
    with pytest.raises(TargetError) as refusal:
        apply_grant(target, new_order())
    assert words in f"{refusal.value.what} {refusal.value.why}"
    assert refusal.value.todo


@dataclass
class Mutual:
    """A server that wants a client certificate of the user's name from `portal`, and from nobody else."""

    server: PostgresServer
    target: Target


@pytest.fixture(scope="module", params=[14, 18])
def mutual(
    request: pytest.FixtureRequest, servers_directory: Path, certificate_authority: CertificateAuthority
) -> Iterator[Mutual]:
    server = PostgresServer(
        request.param,
        servers_directory / f"mutual-{request.param}",
        tls=certificate_authority.server(),
        durable=False,
        hba=[
            "hostssl all portal 127.0.0.1/32 scram-sha-256 clientcert=verify-full",
            "hostssl all all 127.0.0.1/32 scram-sha-256",
        ],
    ).start()
    server.execute("CREATE ROLE portal SUPERUSER LOGIN PASSWORD 'pa55-word'", "CREATE TABLE public.t (id int)")
    client = certificate_authority.client("portal")
    target = Target(
        7, "mutual", "localhost", server.port, "postgres", "portal", "pa55-word", SslMode.VERIFY_FULL,
        certificate_authority.pem, client.certificate_pem, client.key_pem,
    )  # fmt: skip
    yield Mutual(server, target)
    close_pools()
    server.destroy()


def test_client_certificates_leave_no_file_behind(
    mutual: Mutual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    close_pools()
    with admin_connection(mutual.target) as conn:
        assert conn.pgconn.ssl_in_use
        assert [link for link in open_files() if "pem" in link] == []
    order = new_order(permissions("SELECT", "public", "t"))
    receipt = apply_grant(mutual.target, order)
    with mutual.server.connect("postgres", order.login.role_name, order.password) as user:  # people need no certificate
        assert user.execute("SELECT count(*) FROM t").fetchone() == (0,)
    end_grant(mutual.target, to_end(order, role_oid=receipt.role_oid))
    assert RungState.FAILED not in {rung.state for rung in ladder.test_connection(mutual.target)}
    assert [link for link in open_files() if "pem" in link] == []
    assert list(tmp_path.rglob("*")) == []


def open_files() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:  # the folder's own, closed by now
            continue
    return found


def test_a_client_certificate_is_wanted(mutual: Mutual) -> None:
    refused(replace(mutual.target, tls_cert_file="", tls_key_file=""), "Log-in", "without a client certificate")


def test_a_client_certificate_of_another_name(mutual: Mutual, certificate_authority: CertificateAuthority) -> None:
    client = certificate_authority.client("somebody")
    wrong = replace(mutual.target, tls_cert_file=client.certificate_pem, tls_key_file=client.key_pem)
    refused(wrong, "Log-in", "its client certificate is not for this user")


def test_a_client_certificate_that_has_expired(mutual: Mutual, certificate_authority: CertificateAuthority) -> None:
    client = certificate_authority.expired_client("portal")
    wrong = replace(mutual.target, tls_cert_file=client.certificate_pem, tls_key_file=client.key_pem)
    refused(wrong, "Log-in", "The client certificate of “mutual” has expired")


def test_a_client_certificate_of_another_authority(mutual: Mutual) -> None:
    client = OTHER.client("portal")
    wrong = replace(mutual.target, tls_cert_file=client.certificate_pem, tls_key_file=client.key_pem)
    refused(wrong, "Log-in", "does not trust the client certificate")


def test_a_client_key_that_does_not_fit(mutual: Mutual) -> None:
    wrong = replace(mutual.target, tls_key_file=OTHER.client("portal").key_pem)
    refused(wrong, "Encryption", "The client key of “mutual” does not fit its client certificate")


def test_a_client_key_that_is_none(mutual: Mutual) -> None:
    refused(replace(mutual.target, tls_key_file="no key"), "Encryption", "cannot be read")


@pytest.mark.parametrize("mode", [None, *SslMode])
def test_the_server_s_certificate_in_each_mode(
    servers_directory: Path, certificate_authority: CertificateAuthority, mode: SslMode | None
) -> None:
    """Another name, past its time, another authority, none at all: what each mode takes, and how it refuses."""
    folder = servers_directory / f"tls-{mode}-{os.getpid()}"
    verifies_signer = mode in {SslMode.VERIFY_CA, SslMode.VERIFY_FULL, SslMode.REQUIRE}  # a root certificate is given
    with PostgresServer(18, folder, tls=certificate_authority.server(["db.example.com"]), durable=False) as server:
        target = Target(
            8, f"tls-{mode}", "localhost", server.port, "postgres", "postgres", server.password, mode,
            certificate_authority.pem,
        )  # fmt: skip
        if mode is SslMode.VERIFY_FULL:
            refused(target, "Encryption", "not for “localhost”")
        else:
            connects(target)
        if verifies_signer:
            refused(replace(target, tls_root_cert=OTHER.pem), "Encryption", "does not trust")
        else:
            connects(replace(target, tls_root_cert=OTHER.pem))
        server.tls = certificate_authority.expired_server()
        server.reload()
        if verifies_signer:
            refused(target, "Encryption", "has expired")
        else:
            connects(target)
        server.tls = None
        server.restart()
        if verifies_signer:
            refused(target, "Encryption", "does not offer encryption")
        else:
            connects(target)
        close_pools()


def connects(target: Target) -> None:
    close_pools()
    with admin_connection(target) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert RungState.FAILED not in {rung.state for rung in ladder.test_connection(target)}


def test_certificates_connect_in_every_spelling_that_was_ever_stored(mutual: Mutual) -> None:
    """Forms store one form; what came in another way, or before, is given to libpq in that form as well."""
    whole = mutual.target
    spelled = replace(
        whole,
        tls_root_cert=(OTHER.pem + whole.tls_root_cert).replace("-----\n-----", "----------"),
        tls_cert_file=whole.tls_root_cert + whole.tls_cert_file.replace("\n", "\r\n    "),
        tls_key_file=whole.tls_key_file.replace("\n", " "),
    )
    connects(spelled)


@pytest.mark.parametrize("field", ["tls_root_cert", "tls_cert_file", "tls_key_file"])
def test_what_cannot_be_read_is_refused_before_a_word_is_said(mutual: Mutual, field: str) -> None:
    refused(replace(mutual.target, **{field: "-----BEGIN CERTIFICATE-----\nAAAA"}), "Encryption", "cannot be read")
