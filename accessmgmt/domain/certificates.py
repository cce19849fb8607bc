"""Certificates and keys that people paste as PEM text: what they say, and whether they fit together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from accessmgmt.domain.errors import InvalidError

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. `names` are its DNS names and IP addresses; `fingerprint` is SHA-256, in colons."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    is_ca: bool
    fingerprint: str

    def days_left(self, now: datetime | None = None) -> int:
        """Return the whole days until the certificate ends; negative when it has ended."""
        return (self.not_after - (now or datetime.now(UTC))).days


def read_certificate(pem: str) -> CertificateFacts:
    """Describe a certificate, the first one of a bundle; every one of the bundle has to be readable.

    An expired certificate is no error, but a fact. Raises InvalidError for everything that is not a certificate.
    """
    certificate = _load_certificates(pem)[0]
    return CertificateFacts(
        subject=_in_words(certificate.subject),
        issuer=_in_words(certificate.issuer),
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=_is_ca(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def check_key_matches(cert_pem: str, key_pem: str, password: str | None = None) -> None:
    """Raise InvalidError unless the private key belongs to the (first) certificate."""
    certificate = _load_certificates(cert_pem)[0]
    key = _load_key(key_pem, password)
    encoding, shape = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(encoding, shape) != certificate.public_key().public_bytes(encoding, shape):
        raise InvalidError(
            "The key does not belong to the certificate.",
            why=f"The certificate is for {_in_words(certificate.subject)}, made with another key.",
            todo="Paste the key that this certificate was made with.",
        )


def _load_certificates(pem: str) -> list[x509.Certificate]:
    labels = [match[1] for match in BLOCK.finditer(pem)]
    if not labels:
        raise InvalidError(
            "This is not a certificate in PEM form.",
            why="There is no complete block -----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----.",
            todo="Paste the whole file. A binary file: openssl x509 -inform der -in file.cer",
        )
    wrong = [label for label in labels if label not in CERTIFICATE_LABELS]
    if wrong and any("PRIVATE KEY" in label for label in wrong):
        raise InvalidError(
            "A private key was pasted where a certificate belongs.",
            why="A certificate is public, a key is not.",
            todo="Paste the certificate here, and the key into the field for the key.",
        )
    if wrong:
        raise InvalidError(
            "This is not a certificate.",
            why=f"The block says {wrong[0]}.",
            todo="Paste the file that begins with -----BEGIN CERTIFICATE-----.",
        )
    try:
        return [x509.load_pem_x509_certificate(match[0].encode()) for match in BLOCK.finditer(pem)]
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidError(
            "The certificate cannot be read.",
            why="The text between its first and last line is damaged.",
            todo="Paste the whole file again, unchanged.",
        ) from None


def _load_key(pem: str, password: str | None) -> serialization.PrivateKeyTypes:  # type: ignore[name-defined]
    labels = [match[1] for match in BLOCK.finditer(pem)]
    if not any("PRIVATE KEY" in label for label in labels):
        is_certificate = any(label in CERTIFICATE_LABELS for label in labels)
        raise InvalidError(
            "A certificate was pasted where the key belongs." if is_certificate else "This is not a key in PEM form.",
            why="A key begins with -----BEGIN PRIVATE KEY----- or names its kind before those words.",
            todo="Paste the whole file of the private key.",
        )
    block = next(match[0] for match in BLOCK.finditer(pem) if "PRIVATE KEY" in match[1])
    try:
        return serialization.load_pem_private_key(block.encode(), password.encode() if password else None)
    except TypeError:
        raise InvalidError(
            "The key is protected by a passphrase.",
            why="The portal has nobody to ask for it.",
            todo="Paste it without: openssl pkey -in client.key",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidError(
            "The key cannot be read.",
            why="It is damaged, of an unknown kind, or its passphrase is another one.",
            todo="Paste the whole file again, unchanged and without a passphrase.",
        ) from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _in_words(name: x509.Name) -> str:
    return name.rfc4514_string() or "(no name)"
