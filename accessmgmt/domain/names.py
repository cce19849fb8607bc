"""Names of roles on target servers, their ownership tags, and what PostgreSQL accepts as a name."""

from __future__ import annotations

import hmac
import re
import secrets
import string
import unicodedata
from dataclasses import dataclass, field

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import find_unseen, strip_unseen, unseen_error

MAX_NAME_BYTES = 63
LOGIN_ROLE = re.compile(r"jit_(?:[a-z0-9_]{1,20}_)?[a-z0-9]{10,16}")
RESERVED_NAMES = frozenset({"public", "none"})
RESERVED_PREFIXES = ("pg_", "rds", "cloudsql", "azure")
TAG_PREFIX = "access-portal"
TAG = re.compile(
    TAG_PREFIX + r":(?P<installation>[0-9a-z-]{1,64}):(?P<kind>grant|set):(?P<ref>[0-9A-Za-z-]{1,64}):[0-9a-f]{24}"
)
REHEARSAL_PREFIX = "rehearsal-"
MAC_DIGITS = 24  # 96 bits
ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class RoleTag:
    """What a tag says that this installation wrote: for what the role was made."""

    kind: str  # "grant" or "set"
    ref: str

    @property
    def is_rehearsal(self) -> bool:
        """Whether a connection test made the role: it belongs to no grant, and its time is over in minutes."""
        return self.ref.startswith(REHEARSAL_PREFIX)


@dataclass(frozen=True, slots=True)
class Installation:
    """This portal as its targets see it: the id that its roles carry, and the key with which it signs their tags.

    A tag is the comment on a role, which everybody on the server may read, and every role with CREATEROLE may write. So
    it ends in a code (HMAC-SHA256) over the installation, what the role is for, and the role's name: nobody without the
    key makes a tag, and one that was copied to another role is none there.
    """

    id: str
    tag_key: str = field(repr=False)

    @property
    def tag_prefix(self) -> str:
        """How the comment begins that says it is a tag of this installation; whether it is one, `read_tag` says."""
        return f"{TAG_PREFIX}:{self.id}:"

    def tag(self, kind: str, ref: str, role: str) -> str:
        """Write the tag of a role: `kind` "grant" with the grant's id, or "set" with the permission set's digest."""
        text = "\0".join((self.id, kind, ref, role))
        code = hmac.new(self.tag_key.encode(), text.encode(), "sha256").hexdigest()[:MAC_DIGITS]
        return f"{self.tag_prefix}{kind}:{ref}:{code}"

    def read_tag(self, comment: str | None, role: str) -> RoleTag | None:
        """Read the comment of the role of this name; None when this installation has not written it for that name."""
        match = TAG.fullmatch(comment or "")
        if match is None or not hmac.compare_digest(match[0], self.tag(match["kind"], match["ref"], role)):
            return None
        return RoleTag(match["kind"], match["ref"])

    def is_forged(self, comment: str | None, role: str) -> bool:
        """Say whether the role's comment pretends to be a tag of this installation, and is none."""
        return (comment or "").startswith(self.tag_prefix) and self.read_tag(comment, role) is None


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

    PostgreSQL cuts names at 63 bytes and libpq cuts at NUL, both silently: refuse them here.
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
            f"“{name[:MAX_NAME_BYTES]}” is longer than {MAX_NAME_BYTES} bytes.",
            why="PostgreSQL would silently cut the name.",
            todo="Write the name as the server stores it.",
        )
    return name


def read_object_name(text: str, *, what: str = "The name") -> str:
    """Return what somebody typed as the name of a database, role, schema or table; nothing unseen at its ends.

    Raises InvalidError when a character in it cannot be seen: such a name is never meant, and a pattern reaches it.
    """
    name = strip_unseen(text)
    if (place := find_unseen(name, is_exact=True)) is not None:
        raise unseen_error(what, name, place)
    return check_object_name(name)


def is_login_role_name(name: str) -> bool:
    """Say whether a role's name has the shape that new_login_role_name gives, and is not reserved."""
    return (
        LOGIN_ROLE.fullmatch(name) is not None
        and name not in RESERVED_NAMES
        and not name.startswith(RESERVED_PREFIXES)
        and len(name.encode()) <= MAX_NAME_BYTES
    )
