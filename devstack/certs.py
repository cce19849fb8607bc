"""Certificates made on the spot: an authority, server and client certificates, and broken ones for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, its private key and the authority that signed it, all PEM text."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    ca_pem: str

    def write(self, directory: Path, name: str) -> tuple[Path, Path, Path]:
        """Write name.crt, name.key (mode 0600) and name-ca.crt; return their paths in this order."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = (directory / f"{name}.crt", directory / f"{name}.key", directory / f"{name}-ca.crt")
        for path, text, mode in zip(
            paths, (self.certificate_pem, self.key_pem, self.ca_pem), (0o644, 0o600, 0o644), strict=True
        ):
            path.unlink(missing_ok=True)
            path.touch(mode=mode)
            path.write_text(text)
        return paths


class ServerCertificate(Certificate):
    """What a server shows. Its authority is also the one it checks client certificates against."""

    __slots__ = ()


class ClientCertificate(Certificate):
    """What a client shows; the common name is the role it logs in as."""

    __slots__ = ()


class CertificateAuthority:
    """A self-signed authority. A second instance is a wrong authority for the first one's certificates."""

    def __init__(self, name: str = "Demo authority", *, key_pem: str | None = None, pem: str | None = None) -> None:
        """Make a new authority, or take up a kept one from its PEM texts."""
        if key_pem is not None and pem is not None:
            key = serialization.load_pem_private_key(key_pem.encode(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError("the authority's key is not an elliptic curve key")
            self._key = key
            self._certificate = x509.load_pem_x509_certificate(pem.encode())
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._certificate = self._self_signed(name)
        self.pem = _pem(self._certificate)
        self.key_pem = _key_pem(self._key)

    def server(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        common_name: str | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> ServerCertificate:
        """Return a certificate for a server of these DNS names and IP addresses; the first one is its common name too.

        With a `common_name` of its own there may be no names: such a certificate has no alternative names at all.
        """
        builder, key = self._builder(names[0] if common_name is None else common_name, not_before, not_after)
        if names:
            alternative = x509.SubjectAlternativeName([_general_name(n) for n in names])
            builder = builder.add_extension(alternative, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return ServerCertificate(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key), self.pem)

    def expired_server(self, names: Sequence[str] = ("localhost", "127.0.0.1")) -> ServerCertificate:
        """Return a server certificate that ended yesterday."""
        now = datetime.now(UTC)
        return self.server(names, not_before=now - 30 * _DAY, not_after=now - _DAY)

    def client(
        self, common_name: str, *, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> ClientCertificate:
        """Return a certificate that a client logs in with."""
        builder, key = self._builder(common_name, not_before, not_after)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return ClientCertificate(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key), self.pem)

    def expired_client(self, common_name: str) -> ClientCertificate:
        """Return a client certificate that ended yesterday."""
        now = datetime.now(UTC)
        return self.client(common_name, not_before=now - 30 * _DAY, not_after=now - _DAY)

    def write(self, path: Path) -> Path:
        """Write the authority's certificate (not its key) and return the path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.pem)
        return path

    def _self_signed(self, name: str) -> x509.Certificate:
        now = datetime.now(UTC)
        subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(
        self, common_name: str, not_before: datetime | None, not_after: datetime | None
    ) -> tuple[x509.CertificateBuilder, ec.EllipticCurvePrivateKey]:
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - _DAY)
            .not_valid_after(not_after or now + 825 * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder, key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
