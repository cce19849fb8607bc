"""What people paste as certificates and keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization

from accessmgmt.domain.certificates import check_key_matches, read_certificate
from accessmgmt.domain.errors import InvalidError
from devstack.certs import CertificateAuthority


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority("Example authority")


def test_a_server_certificate_is_described(authority: CertificateAuthority) -> None:
    facts = read_certificate(authority.server(["db.example.com", "10.0.0.5"]).certificate_pem)
    assert facts.subject == "CN=db.example.com"
    assert facts.issuer == "CN=Example authority"
    assert facts.names == ("db.example.com", "10.0.0.5")
    assert not facts.is_ca
    assert facts.days_left() == 824
    assert len(facts.fingerprint.split(":")) == 32


def test_an_authority_and_a_bundle(authority: CertificateAuthority) -> None:
    assert read_certificate(authority.pem).is_ca
    leaf = authority.server().certificate_pem
    assert read_certificate("some words before\n" + leaf + authority.pem) == read_certificate(leaf)


def test_an_expired_certificate_is_a_fact(authority: CertificateAuthority) -> None:
    assert read_certificate(authority.expired_server().certificate_pem).days_left() < 0


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE-----\nMIIB"])
def test_what_is_no_pem(text: str) -> None:
    with pytest.raises(InvalidError, match="not a certificate in PEM form"):
        read_certificate(text)


def test_what_is_something_else(authority: CertificateAuthority) -> None:
    server = authority.server()
    with pytest.raises(InvalidError, match="private key was pasted where a certificate"):
        read_certificate(server.key_pem)
    with pytest.raises(InvalidError, match="CERTIFICATE REQUEST"):
        read_certificate("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----")
    with pytest.raises(InvalidError, match="cannot be read"):
        read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    with pytest.raises(InvalidError, match="cannot be read"):
        read_certificate(server.certificate_pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")


def test_a_key_belongs_to_its_certificate(authority: CertificateAuthority) -> None:
    server, other = authority.server(), authority.server()
    check_key_matches(server.certificate_pem, server.key_pem)
    with pytest.raises(InvalidError, match="does not belong"):
        check_key_matches(server.certificate_pem, other.key_pem)
    with pytest.raises(InvalidError, match="certificate was pasted where the key"):
        check_key_matches(server.certificate_pem, server.certificate_pem)
    with pytest.raises(InvalidError, match="not a key"):
        check_key_matches(server.certificate_pem, "secret")
    with pytest.raises(InvalidError, match="cannot be read"):
        check_key_matches(server.certificate_pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")


def test_a_key_with_a_passphrase(authority: CertificateAuthority) -> None:
    server = authority.server()
    key = serialization.load_pem_private_key(server.key_pem.encode(), None)
    protected = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    ).decode()
    with pytest.raises(InvalidError, match="protected by a passphrase"):
        check_key_matches(server.certificate_pem, protected)
    with pytest.raises(InvalidError, match="cannot be read"):
        check_key_matches(server.certificate_pem, protected, "wrong")
    check_key_matches(server.certificate_pem, protected, "open sesame")
