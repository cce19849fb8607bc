"""Names of roles on target servers, their ownership tags, and what PostgreSQL accepts as a name."""

from __future__ import annotations

import re
import secrets
import string
import unicodedata
from dataclasses import dataclass

from accessmgmt.domain.errors import InvalidError

MAX_NAME_BYTES = 63
LOGIN_ROLE = re.compile(r"jit_(?:[a-z0-9_]{1,20}_)?[a-z0-9]{10,16}")
RESERVED_NAMES = frozenset({"public", "none"})
RESERVED_PREFIXES = ("pg_", "rds", "cloudsql", "azure")
TAG = re.compile(r"access-portal:(?P<installation>[0-9a-z-]{1,64}):(?P<kind>grant|set):(?P<ref>[0-9A-Za-z-]{1,64})")
ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class RoleTag:
    """The comment that marks a role as ours: which installation made it, and for what."""

    installation_id: str
    kind: str  # "grant" or "set"
    ref: str

    def __str__(self) -> str:
        return f"access-portal:{self.installation_id}:{self.kind}:{self.ref}"


def parse_tag(comment: str | None) -> RoleTag | None:
    """Read a role's comment; None when it is not a tag of any portal."""
    match = TAG.fullmatch(comment or "")
    return RoleTag(match["installation"], match["kind"], match["ref"]) if match else None


def new_login_role_name(email: str, *, opaque: bool = False) -> str:
    """Make a fresh name for a login role: `jit_<who>_<10 random>`, or `jit_<16 random>` when opaque.

    `who` is the local part of the e-mail address, reduced to [a-z0-9_] and at most 20 characters, so that a DBA
    sees the person in pg_stat_activity. The random part is never used again, so neither is the name.
    """
    if opaque:
        return "jit_" + "".join(secrets.choice(ALPHABET) for _ in range(16))
    local_part = unicodedata.normalize("NFKD", email.partition("@")[0]).encode("ascii", "ignore").decode().lower()
    who = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", local_part)).strip("_")[:20].strip("_") or "user"
    return f"jit_{who}_" + "".join(secrets.choice(ALPHABET) for _ in range(10))


def check_object_name(name: str) -> str:
    """Return the name of a schema or table unchanged, or raise InvalidError.

    PostgreSQL cuts names at 63 bytes and libpq cuts at NUL, both silently (postgres.md 8.1): refuse them here.
    """
    if not name:
        raise InvalidError("A name is empty.", todo="Remove it, or write the name.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise InvalidError(
            "A name holds a control character.",
            why="PostgreSQL would cut it there.",
            todo="Remove that character.",
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidError(
            f"“{name}” is longer than {MAX_NAME_BYTES} bytes.",
            why="PostgreSQL would silently cut the name.",
            todo="Write the name as the server stores it.",
        )
    return name


def is_login_role_name(name: str) -> bool:
    """Say whether a role's name has the shape that new_login_role_name gives, and is not reserved."""
    return (
        LOGIN_ROLE.fullmatch(name) is not None
        and name not in RESERVED_NAMES
        and not name.startswith(RESERVED_PREFIXES)
        and len(name.encode()) <= MAX_NAME_BYTES
    )
