"""What a stack must find again at its next start: secrets, certificates and ports, in one file of mode 0600."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet

from devstack.certs import CertificateAuthority, ClientCertificate, ServerCertificate
from devstack.recipe import LOGIN_ROLE

_WORDS = [
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "hazel",
    "ivory",
    "jade",
    "karst",
    "lilac",
    "maple",
    "north",
    "ocean",
    "pearl",
    "quartz",
    "river",
]


@dataclass(slots=True)
class StackState:
    """The content of the file; `ports` holds the last ones by the server's name."""

    secret_key: str
    encryption_key: str
    installation_id: str
    portal_password: str
    target_password: str
    people_password: str
    ca_pem: str
    ca_key_pem: str
    primary_tls: dict[str, str]
    standby_tls: dict[str, str]
    client_tls: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    seeded: str = ""

    @classmethod
    def new(cls) -> Self:
        """Make all secrets and certificates."""
        authority = CertificateAuthority("Access portal demo authority")
        return cls(
            secret_key=secrets.token_urlsafe(64),
            encryption_key=Fernet.generate_key().decode(),
            installation_id=secrets.token_hex(6),
            portal_password=secrets.token_hex(16),
            target_password=secrets.token_hex(16),
            people_password=f"demo-{secrets.choice(_WORDS)}-{secrets.randbelow(9000) + 1000}",
            ca_pem=authority.pem,
            ca_key_pem=authority.key_pem,
            primary_tls=asdict(authority.server()),
            standby_tls=asdict(authority.server()),
            client_tls=asdict(authority.client(LOGIN_ROLE)),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file, or make a new one."""
        if path.exists():
            return cls(**json.loads(path.read_text()))
        state = cls.new()
        state.save(path)
        return state

    def save(self, path: Path) -> None:
        """Write the file in one step, readable by its owner only."""
        write_private(path, json.dumps(asdict(self), indent=1))

    @property
    def primary_certificate(self) -> ServerCertificate:
        return ServerCertificate(**self.primary_tls)

    @property
    def standby_certificate(self) -> ServerCertificate:
        return ServerCertificate(**self.standby_tls)

    @property
    def client_certificate(self) -> ClientCertificate:
        return ClientCertificate(**self.client_tls)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, so that a reader sees the old content or the new."""
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    staged.touch(mode=0o600)
    staged.write_text(text)
    staged.replace(path)
