"""PEM text as people copy it: read block by block into one form, or refused with the reason."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from accessmgmt.domain import pem as pem_module
from accessmgmt.domain.certificates import (
    check_key_matches,
    describe_certificates,
    holds_key,
    read_certificate,
    tidy_certificates,
    tidy_key,
)
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.hcl.pem import public_pem
from accessmgmt.domain.pem import MOST_CHARACTERS, read_pem, text_of_file, write_pem
from devstack.certs import CertificateAuthority
from tests.limits import cpu_limit

AUTHORITY = CertificateAuthority("Example authority")
OTHER = CertificateAuthority("Another authority")
SERVER = AUTHORITY.server(["db.example.com", "10.0.0.5"])
CLIENT = AUTHORITY.client("portal")
BUNDLE = AUTHORITY.pem + OTHER.pem


def as_base64_lines(pem: str, width: int) -> str:
    first, *body, last = pem.strip().split("\n")
    return "\n".join([first, *textwrap.wrap("".join(body), width), last])


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda pem: pem,
    "without a line feed between": lambda pem: pem.replace("-----\n-----", "----------").strip(),
    "indented": lambda pem: textwrap.indent(pem, "    "),
    "indented by tabs": lambda pem: textwrap.indent(pem, "\t\t"),
    "in YAML": lambda pem: "ca: |\n" + textwrap.indent(pem, "  "),
    "blanks for line feeds": lambda pem: pem.replace("\n", " "),
    "nothing for line feeds": lambda pem: pem.replace("\n", ""),
    "trailing blanks": lambda pem: pem.replace("\n", "  \n"),
    "doubled line feeds": lambda pem: pem.replace("\n", "\n\n"),
    "carriage returns": lambda pem: pem.replace("\n", "\r\n"),
    "carriage returns alone": lambda pem: pem.replace("\n", "\r"),
    "a byte order mark": lambda pem: f"\ufeff{pem}",
    "no-break spaces": lambda pem: pem.replace("\n", "\u00a0\n"),
    "zero-width spaces": lambda pem: pem.replace("\n", "\u200b\n"),
    "escaped line feeds": lambda pem: pem.replace("\n", "\\n"),
    "escaped twice": lambda pem: pem.replace("\n", "\\\\n"),
    "escaped as on Windows": lambda pem: pem.replace("\n", "\\r\\n"),
    "as JSON": json.dumps,
    "in single quotes": lambda pem: f"'{pem}'",
    "words around": lambda pem: f"subject=CN = x\nissuer=CN = y\n{pem}---\nServer certificate\n",
    "lines of 76": lambda pem: "\n".join(
        as_base64_lines(f"-----BEGIN{part}", 76) for part in pem.split("-----BEGIN")[1:]
    ),
    "twice": lambda pem: pem + pem,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_certificates_gives_the_one_form(spelling: str) -> None:
    text = SPELLINGS[spelling](BUNDLE)
    assert tidy_certificates(text) == BUNDLE
    assert tidy_certificates(tidy_certificates(text)) == BUNDLE
    assert public_pem(tidy_certificates(text)).text == BUNDLE
    assert not public_pem(tidy_certificates(text)).has_more
    assert set(public_pem(text).text.split("-----END CERTIFICATE-----\n")) == set(
        BUNDLE.split("-----END CERTIFICATE-----\n")
    )
    assert {facts.subject for facts in describe_certificates(text)} == {"CN=Example authority", "CN=Another authority"}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_key_gives_the_one_form(spelling: str) -> None:
    text = SPELLINGS[spelling](CLIENT.key_pem)
    assert tidy_key(text) == CLIENT.key_pem
    check_key_matches(SPELLINGS[spelling](CLIENT.certificate_pem), text)
    assert holds_key(text)


def test_a_chain_is_put_in_the_order_in_which_it_is_shown() -> None:
    assert tidy_certificates(AUTHORITY.pem + OTHER.pem + CLIENT.certificate_pem) == (
        OTHER.pem + CLIENT.certificate_pem + AUTHORITY.pem
    )
    assert tidy_certificates(AUTHORITY.pem + CLIENT.certificate_pem) == CLIENT.certificate_pem + AUTHORITY.pem
    check_key_matches(tidy_certificates(AUTHORITY.pem + CLIENT.certificate_pem), CLIENT.key_pem)


def test_der_is_taken_as_base64_and_as_a_file() -> None:
    der = x509.load_pem_x509_certificate(AUTHORITY.pem.encode()).public_bytes(serialization.Encoding.DER)
    assert tidy_certificates(base64.b64encode(der).decode()) == AUTHORITY.pem
    assert tidy_certificates(base64.encodebytes(der).decode()) == AUTHORITY.pem
    assert tidy_certificates(text_of_file(der)) == AUTHORITY.pem
    assert tidy_certificates(text_of_file(AUTHORITY.pem.encode("utf-16"))) == AUTHORITY.pem
    assert tidy_certificates(text_of_file(AUTHORITY.pem.encode("utf-8-sig"))) == AUTHORITY.pem
    key = serialization.load_pem_private_key(CLIENT.key_pem.encode(), None).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert tidy_key(text_of_file(key)) == CLIENT.key_pem


@pytest.mark.parametrize("kind", ["traditional EC", "traditional RSA", "Ed25519", "EC with parameters"])
def test_keys_of_every_kind_are_taken(kind: str) -> None:
    key: serialization.PrivateKeyTypes  # type: ignore[name-defined]
    if "RSA" in kind:
        key = rsa.generate_private_key(65537, 2048)
    elif kind == "Ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = serialization.load_pem_private_key(CLIENT.key_pem.encode(), None)
    form = serialization.PrivateFormat.PKCS8 if kind == "Ed25519" else serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    before = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert tidy_key(before + pem if "parameters" in kind else pem) == pem
    serialization.load_pem_private_key(tidy_key(pem).encode(), None)


def test_a_combined_file_gives_its_key_to_the_key_and_nothing_to_the_certificate() -> None:
    combined = CLIENT.certificate_pem + CLIENT.key_pem
    assert tidy_key(combined) == CLIENT.key_pem
    with pytest.raises(InvalidError, match="private key was pasted where a certificate"):
        tidy_certificates(combined)


def protected(format_: serialization.PrivateFormat) -> str:
    key = serialization.load_pem_private_key(CLIENT.key_pem.encode(), None)
    is_ssh = format_ is serialization.PrivateFormat.OpenSSH
    secret = serialization.NoEncryption() if is_ssh else serialization.BestAvailableEncryption(b"open sesame")
    return key.private_bytes(serialization.Encoding.PEM, format_, secret).decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (protected(serialization.PrivateFormat.PKCS8), "protected by a passphrase"),
        (protected(serialization.PrivateFormat.TraditionalOpenSSL), "protected by a passphrase"),
        (protected(serialization.PrivateFormat.TraditionalOpenSSL).replace("\n", " "), "protected by a passphrase"),
        (protected(serialization.PrivateFormat.OpenSSH), "key for SSH"),
        (CLIENT.certificate_pem, "certificate was pasted where the key"),
        ("secret", "not a key in PEM form"),
        (CLIENT.key_pem + SERVER.key_pem, "several keys"),
        (CLIENT.key_pem.replace("MIG", "AAA"), "cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "cannot be read"),
        (write_pem("PRIVATE KEY", b"\x30" * 6_000), "larger than 8,192 bits"),
        (CLIENT.key_pem + "-----BEGIN PGP MESSAGE-----\nAAAA\n-----END PGP MESSAGE-----", "a block PGP MESSAGE"),
    ],
)
def test_a_key_that_could_not_be_used_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words) as refusal:
        tidy_key(text)
    assert refusal.value.todo
    assert "MIG" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "not a certificate in PEM form"),
        (AUTHORITY.pem[:-20], "not a certificate in PEM form"),
        (AUTHORITY.pem + OTHER.pem[:-30], None),
        (AUTHORITY.pem.replace("\nMII", "\nAAA"), "cannot be read"),
        (AUTHORITY.pem + OTHER.pem.replace("\nMII", "\nAAA"), "Certificate 2 of 2 cannot be read"),
        (AUTHORITY.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "openssl x509 -in"),
        ("-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----", "openssl pkcs7 -print_certs"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "The block says PUBLIC KEY"),
        (CLIENT.key_pem, "private key was pasted where a certificate"),
        (CLIENT.key_pem.replace("PRIVATE KEY", "CERTIFICATE"), "private key was pasted where a certificate"),
        ("".join(CLIENT.key_pem.strip().split("\n")[1:-1]), "private key was pasted where a certificate"),
        ("x" * (MOST_CHARACTERS + 1), "longer than 512 KiB"),
    ],
)
def test_what_is_no_certificate_is_refused(text: str, words: str | None) -> None:
    if words is None:  # the rest of a block that is cut off is text around the others
        assert tidy_certificates(text) == AUTHORITY.pem
        assert public_pem(text).has_more
        return
    with pytest.raises(InvalidError, match=words):
        tidy_certificates(text)
    assert CLIENT.key_pem.split("\n")[1] not in public_pem(text).text


def test_a_certificate_without_a_name_and_one_with_a_common_name_alone_say_so() -> None:
    assert read_certificate(AUTHORITY.server((), common_name="project:instance").certificate_pem).names == (
        "project:instance",
    )
    assert read_certificate(AUTHORITY.server((), common_name="").certificate_pem).names == ()
    assert read_certificate(SERVER.certificate_pem).names == ("db.example.com", "10.0.0.5")


FRAGMENTS = st.sampled_from(
    [
        *(AUTHORITY.pem, CLIENT.certificate_pem, CLIENT.key_pem, "-----BEGIN CERTIFICATE-----", "-----", "\n", " "),
        *("-----END CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "MIIB", "\\n", ":"),
        *('"', "Proc-Type: 4,ENCRYPTED\n\n", "x", "\x00", "\ufeff", "=", "ä"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=8).map("".join))
def test_what_is_taken_is_what_every_reader_gets(text: str) -> None:
    """Stored, shown, exported and given to libpq are the same certificates, and no part of a key is among them."""
    try:
        stored = tidy_certificates(text)
    except InvalidError:
        return
    assert tidy_certificates(stored) == stored
    assert public_pem(stored).text == stored
    assert "PRIVATE" not in stored
    found = [block.data for block in read_pem(stored).blocks]
    assert len(describe_certificates(stored)) == len(found)
    if stored:
        loaded = x509.load_pem_x509_certificates(stored.encode())
        assert [each.public_bytes(serialization.Encoding.DER) for each in loaded] == found


@pytest.mark.parametrize(
    "piece",
    [
        "-----BEGIN CERTIFICATE-----", "-----BEGIN A-----\n", "-----END A-----", "-", "-----BEGIN ", "----- ", "\\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "A", "A:", " ", '"', "\ufeff", "\r", "\\",
    ],
)  # fmt: skip
def test_the_time_to_read_grows_with_the_length_alone(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million characters take less than a second; with their square it would be hours, or minutes in C."""
    monkeypatch.setattr(pem_module, "MOST_CHARACTERS", 1_000_000)
    text = piece * (1_000_000 // len(piece))
    with cpu_limit("reading the PEM text", seconds=30):
        for read in (tidy_certificates, tidy_key, public_pem, describe_certificates, holds_key):
            with suppress(InvalidError):
                read(text)  # type: ignore[operator]
