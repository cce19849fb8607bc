"""Certificates and keys that people paste as PEM text: what they say, and whether they fit together."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.pem import CERTIFICATE_LABELS, PemBlock, PemText, is_key, read_pem, write_pem
from accessmgmt.domain.server_names import ServerNames

MOST_CERTIFICATES = 1_000
MOST_KEY_BYTES = 5_000
"""An RSA key of 8,192 bits. Larger ones take seconds to check."""

BEFORE_KEYS = frozenset({"EC PARAMETERS", "DSA PARAMETERS"})


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. `server_names` are those that it is for; `fingerprint` is SHA-256, in colons."""

    subject: str
    issuer: str
    server_names: ServerNames
    not_before: datetime
    not_after: datetime
    is_ca: bool
    fingerprint: str

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names and IP addresses; where there are none, the common name stands for them."""
        return self.server_names.listed

    def days_left(self, now: datetime | None = None) -> int:
        """Return the whole days until the certificate ends; negative when it has ended."""
        return (self.not_after - (now or datetime.now(UTC))).days

    def has_begun(self, now: datetime | None = None) -> bool:
        """Say whether the certificate's time has begun."""
        return self.not_before <= (now or datetime.now(UTC))


def read_certificate(pem: str) -> CertificateFacts:
    """Describe a certificate, the first one of a bundle; every one of the bundle has to be readable.

    An expired certificate is no error, but a fact. Raises InvalidError for everything that is not a certificate.
    """
    return _facts(_load_certificates(pem)[0])


def describe_certificates(pem: str) -> list[CertificateFacts]:
    """Describe each certificate of a text that can be read; what cannot be is left out."""
    try:
        found = read_pem(pem)
    except InvalidError:
        return []
    loaded = (_loaded(block.data) for block in found.blocks if block.label in CERTIFICATE_LABELS)
    return [_facts(certificate) for certificate in loaded if certificate is not None]


@lru_cache(maxsize=256)
def tidy_certificates(pem: str) -> str:
    """Return the certificates of a text in the form in which they are stored and given to libpq: "" for no text.

    Each once, a certificate before the one that signed it. Raises InvalidError unless all of them can be read, and for
    anything but certificates among the blocks; text around them is left out.
    """
    if not pem.strip():
        return ""
    return "".join(_pem(certificate) for certificate in _signed_first(_load_certificates(pem)))


def tidy_key(pem: str) -> str:
    """Return the private key of a text in the form in which it is stored and given to libpq: "" for no text.

    Certificates beside it are left out. Raises InvalidError when there is no key, more than one, or one that libpq
    could not use.
    """
    return _key_block(pem).text if pem.strip() else ""


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


def holds_key(text: str) -> bool:
    """Say whether a text may hold a private key, whole or in part: then it is never shown."""
    if "PRIVATE" in text.upper():
        return True
    try:
        found = read_pem(text)
    except InvalidError:
        return True
    datas = [found.bare, *(block.data for block in found.blocks)]
    return any(data is not None and is_key(data) for data in datas)


def _load_certificates(pem: str) -> list[x509.Certificate]:
    found = read_pem(pem)
    if not found.blocks:
        return [_bare_certificate(found)]
    _refuse_others(found.blocks)
    if len(found.blocks) > MOST_CERTIFICATES:
        raise InvalidError(f"There are more than {MOST_CERTIFICATES:,} certificates.", todo="Paste those needed here.")
    loaded = [_loaded(block.data) for block in found.blocks]
    damaged = [number for number, certificate in enumerate(loaded, 1) if certificate is None]
    if damaged:
        if any(block.data is not None and is_key(block.data) for block in found.blocks):
            raise _key_for_certificate()
        which = f"Certificate {damaged[0]} of {len(loaded)}" if len(loaded) > 1 else "The certificate"
        raise InvalidError(
            f"{which} cannot be read.",
            why="The text between its first and last line is damaged.",
            todo="Paste the whole file again, unchanged.",
        )
    return [certificate for certificate in loaded if certificate is not None]


def _bare_certificate(found: PemText) -> x509.Certificate:
    """Return the certificate of a text without a PEM block: DER written as base64."""
    if found.bare is not None and is_key(found.bare):
        raise _key_for_certificate()
    certificate = _loaded(found.bare)
    if certificate is None:
        raise InvalidError(
            "This is not a certificate in PEM form.",
            why="There is no complete block -----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----.",
            todo="Paste the whole file. A binary file: openssl x509 -inform der -in file.cer",
        )
    return certificate


def _refuse_others(blocks: tuple[PemBlock, ...]) -> None:
    if any(block.is_key for block in blocks):
        raise _key_for_certificate()
    wrong = [block.label for block in blocks if block.label not in CERTIFICATE_LABELS]
    if wrong:
        advice = {
            "TRUSTED CERTIFICATE": "Convert it: openssl x509 -in file.pem",
            "PKCS7": "Convert it: openssl pkcs7 -print_certs -in file.p7b",
        }
        raise InvalidError(
            "This is not a certificate.",
            why=f"The block says {wrong[0]}.",
            todo=advice.get(wrong[0], "Paste the file that begins with -----BEGIN CERTIFICATE-----."),
        )


def _key_for_certificate() -> InvalidError:
    return InvalidError(
        "A private key was pasted where a certificate belongs.",
        why="A certificate is public, a key is not.",
        todo="Paste the certificate here, and the key into the field for the key.",
    )


def _key_block(pem: str) -> PemBlock:
    found = read_pem(pem)
    keys = list({block.data: block for block in found.blocks if block.is_key}.values())
    if not keys and found.bare is not None and is_key(found.bare):
        keys = [PemBlock("PRIVATE KEY", _as_pkcs8(found.bare))]
    if not keys:
        is_certificate = any(block.label in CERTIFICATE_LABELS for block in found.blocks) or _loaded(found.bare)
        raise InvalidError(
            "A certificate was pasted where the key belongs." if is_certificate else "This is not a key in PEM form.",
            why="A key begins with -----BEGIN PRIVATE KEY----- or names its kind before those words.",
            todo="Paste the whole file of the private key.",
        )
    if len(keys) > 1:
        raise InvalidError("There are several keys.", todo="Paste the one that the certificate was made with.")
    others = {block.label for block in found.blocks if not block.is_key} - CERTIFICATE_LABELS - BEFORE_KEYS
    if others:
        raise InvalidError(f"Beside the key there is a block {min(others)}.", todo="Paste the key alone.")
    [key] = keys
    if key.is_encrypted:
        raise _protected()
    if key.label == "OPENSSH PRIVATE KEY":
        raise InvalidError(
            "This is a key for SSH.",
            why="PostgreSQL's TLS cannot use it in this form.",
            todo="Convert a copy: ssh-keygen -p -m PEM -N '' -f key",
        )
    _load_der(key.data)
    return key


def _as_pkcs8(data: bytes) -> bytes:
    """Return a key in DER as PKCS #8, whatever its form."""
    key = _load_der(data)
    shape = serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(serialization.Encoding.DER, shape, serialization.NoEncryption()))


def _load_der(data: bytes | None) -> serialization.PrivateKeyTypes:  # type: ignore[name-defined]
    if data is not None and len(data) > MOST_KEY_BYTES:
        raise InvalidError("The key is larger than 8,192 bits.", todo="Make a certificate with a smaller key.")
    try:
        return serialization.load_der_private_key(data or b"", None)
    except TypeError:
        raise _protected() from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unreadable_key() from None


def _load_key(pem: str, password: str | None) -> serialization.PrivateKeyTypes:  # type: ignore[name-defined]
    if password is None:
        return _load_der(_key_block(pem).data)
    try:
        return serialization.load_pem_private_key(pem.encode(), password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unreadable_key() from None


def _protected() -> InvalidError:
    return InvalidError(
        "The key is protected by a passphrase.",
        why="The portal has nobody to ask for it.",
        todo="Paste it without: openssl pkey -in client.key",
    )


def _unreadable_key() -> InvalidError:
    return InvalidError(
        "The key cannot be read.",
        why="It is damaged, of an unknown kind, or its passphrase is another one.",
        todo="Paste the whole file again, unchanged and without a passphrase.",
    )


def _signed_first(certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """Return each certificate once, chains in the order in which TLS sends them: a signer after what it signed.

    A client shows the first certificate as its own, so an authority in front of it would be shown instead.
    """
    once = list(dict.fromkeys(certificates))
    by_subject = {certificate.subject.public_bytes(): certificate for certificate in reversed(once)}
    signers = {certificate.issuer.public_bytes() for certificate in once if certificate.issuer != certificate.subject}
    ordered: dict[x509.Certificate, None] = {}
    for start in once:
        if start.subject.public_bytes() in signers:
            continue
        step: x509.Certificate | None = start
        while step is not None and step not in ordered:
            ordered[step] = None
            step = by_subject.get(step.issuer.public_bytes())
    return list(ordered | dict.fromkeys(once))


def _loaded(data: bytes | None) -> x509.Certificate | None:
    if data is None:
        return None
    try:
        certificate = x509.load_der_x509_certificate(data)
        certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return certificate


def _pem(certificate: x509.Certificate) -> str:
    return write_pem("CERTIFICATE", certificate.public_bytes(serialization.Encoding.DER))


def read_der_certificate(der: bytes) -> CertificateFacts:
    """Describe a certificate as a server shows it. Raises InvalidError when it cannot be read."""
    return read_certificate(base64.b64encode(der).decode())


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    return CertificateFacts(
        subject=_in_words(certificate.subject),
        issuer=_in_words(certificate.issuer),
        server_names=_server_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=_is_ca(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def _server_names(certificate: x509.Certificate) -> ServerNames:
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ServerNames(common_name=common[0] if common else "")
    return ServerNames(
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        addresses=tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        common_name=common[0] if common else "",
    )


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _in_words(name: x509.Name) -> str:
    return name.rfc4514_string() or "(no name)"
