"""What an export says: frozen facts without Django, and without a single secret.

An attribute that is absent (`None`, `""`) is not written; no default takes its place.
"""

from dataclasses import dataclass
from typing import Final

KEY_PRESENT: Final = "(present, not carried)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSpec:
    """One database on one PostgreSQL server, with the attribute names of the guide.

    Of `username` and of the client's private key only the presence is exported. The key's text is dropped on the
    way in: whatever non-empty text is passed as `tls_key_file`, the object keeps `KEY_PRESENT`.
    """

    name: str
    type: str = "postgres"
    host: str = ""
    port: int | None = 5432
    database_name: str = ""
    username: str = ""
    has_password: bool = False
    ssl_mode: str | None = None
    tls_root_cert: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    use_aws_secrets: bool = False
    aws_region: str | None = None
    aws_secret_name: str | None = None
    has_aws_keys: bool = False
    max_connections: int | None = None
    min_connections: int | None = None

    def __post_init__(self) -> None:
        """Forget the private key, remember that there is one."""
        if self.tls_key_file:
            object.__setattr__(self, "tls_key_file", KEY_PRESENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationSpec:
    """A named permission set. The order of `grants`, `schemas` and `tables` is content: it is written as given."""

    name: str
    description: str | None = None
    resource_type: str = "postgres"
    grants: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """A resource and an authorization, both by name, for a time to live as text (`"8h"`)."""

    name: str
    type: str = "direct"
    ttl: str | None = None
    resource: str = ""
    authorization: str = ""
    is_jit_enabled: bool = False
    jit_approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """A set of people (e-mail addresses) wired to a set of endpoints (names). Order means nothing."""

    name: str
    members: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Everything that one export describes. Order means nothing; names are unique among objects of one kind."""

    resources: tuple[ResourceSpec, ...] = ()
    authorizations: tuple[AuthorizationSpec, ...] = ()
    endpoints: tuple[EndpointSpec, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
