"""PEM text, read block by block, however it was copied: the one reader for forms, connections and exports."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import strip_unseen

MOST_CHARACTERS = 512 * 1024
LINE = 64
INTEGER, OCTET_STRING, SEQUENCE = 0x02, 0x04, 0x30
MARKER = re.compile(r"-{5} ?(BEGIN|END) {1,3}([A-Z0-9][A-Z0-9 ]{0,39}?) ?-{5}")
CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
ESCAPES = re.compile(r"\\{1,4}[rnt]")
AROUND_BODY = str.maketrans(dict.fromkeys("\"'\\,;", " "))
NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")
SPACES = str.maketrans(dict.fromkeys("\xa0\u2007\u202f\u3000\t\x0b\x0c", " "))
UNSEEN = str.maketrans(dict.fromkeys("\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"))


@dataclass(frozen=True, slots=True)
class PemBlock:
    """One block. `data` is what its base64 stands for, None when it is damaged; `is_encrypted` by a passphrase."""

    label: str
    data: bytes | None
    is_encrypted: bool = False

    @property
    def text(self) -> str:
        """The block as RFC 7468 writes it: lines of 64 characters, a line feed at the end."""
        return write_pem(self.label, self.data or b"")

    @property
    def is_key(self) -> bool:
        """Whether the block says that it is a private key."""
        return "PRIVATE KEY" in self.label


@dataclass(frozen=True, slots=True)
class PemText:
    """What a text holds: its blocks in order, base64 without any block, and whether there is anything else."""

    blocks: tuple[PemBlock, ...]
    bare: bytes | None
    has_more: bool


def read_pem(text: str) -> PemText:
    """Read the blocks of a text. A file's line feeds may be missing, doubled, spaces or written as \\n.

    Blanks around lines, quotes, byte order marks, and text around the blocks (as OpenSSL prints) do not matter. A block
    begins and ends with the same words; a beginning within another block ends that one. Takes time in proportion to the
    length. Raises InvalidError for a text that is too long. Source: RFC 7468, sections 2 and 3.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidError(
            f"This is longer than {MOST_CHARACTERS // 1024} KiB: too long for certificates.",
            todo="Paste the certificates that this server needs alone.",
        )
    plain = ESCAPES.sub("\n", text.translate(SPACES).translate(UNSEEN)) if text else ""
    blocks: list[PemBlock] = []
    rest: list[str] = []
    place = 0
    begun: re.Match[str] | None = None
    for found in MARKER.finditer(plain):
        if found[1] == "BEGIN":
            begun = found
        elif begun is not None and begun[2] == found[2]:
            rest.append(plain[place : begun.start()])
            blocks.append(_block(found[2], plain[begun.end() : found.start()]))
            place, begun = found.end(), None
        else:
            begun = None
    rest.append(plain[place:])
    others = "".join(rest).translate(AROUND_BODY)
    bare = None if blocks or MARKER.search(plain) else _decoded(others)
    return PemText(tuple(blocks), bare, has_more=bare is None and bool(strip_unseen(others)))


def write_pem(label: str, data: bytes) -> str:
    """Return a block as RFC 7468 writes it, with a line feed at its end."""
    body = base64.b64encode(data).decode()
    lines = [body[place : place + LINE] for place in range(0, len(body), LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def is_key(data: bytes) -> bool:
    """Say whether DER data is a private key, whatever its block says: by its outermost parts, without loading it.

    A key begins with a version number (RFC 8017, 5915, 5208), an encrypted one is an algorithm and an octet string
    (RFC 5208); certificates and public keys are neither.
    """
    sequence = _element(data, 0)
    first = _element(data, sequence[1]) if sequence and sequence[0] == SEQUENCE else None
    if first is None:
        return False
    second = _element(data, first[2])
    return first[0] == INTEGER or (first[0] == SEQUENCE and second is not None and second[0] == OCTET_STRING)


def _element(data: bytes, place: int) -> tuple[int, int, int] | None:
    """Return tag, beginning and end of the content of a DER element; None when there is none."""
    if place + 2 > len(data):
        return None
    size, start = data[place + 1], place + 2
    if size >= 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(data[start : start + count]), start + count
    return data[place], start, start + size


def text_of_file(content: bytes) -> str:
    """Return the text of an uploaded file. A binary (DER) file comes back as base64, which `read_pem` takes as well."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # as PowerShell writes files
        return content.decode("utf-16", errors="replace")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode()
    return text if content[:1] != b"\x30" or text.isprintable() else base64.b64encode(content).decode()


def _block(label: str, body: str) -> PemBlock:
    is_encrypted = label.startswith("ENCRYPTED") or (":" in body and "ENCRYPTED" in body)
    if ":" in body:  # headers, up to an empty line (RFC 1421)
        body = body.lstrip().replace("\r\n", "\n").partition("\n\n")[2]
    return PemBlock(label, _decoded(body.translate(AROUND_BODY)), is_encrypted)


def _decoded(body: str) -> bytes | None:
    """Return what base64 stands for, white space left out; None for anything else, and for nothing."""
    packed = "".join(body.split())
    if not packed or NO_BASE64.search(packed):
        return None
    try:
        return base64.b64decode(packed, validate=True) or None
    except (binascii.Error, ValueError):
        return None
