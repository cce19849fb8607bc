"""Gives a copied, cleanly stopped cluster a system identifier of its own.

Copies of one template would all look like replicas of each other. The identifier is the first field of
global/pg_control (whose CRC follows the other fields) and stands in the long header that begins each WAL segment
(src/include/catalog/pg_control.h and access/xlog_internal.h; the same in PostgreSQL 14 to 18).
"""

import secrets
import struct
import time
from pathlib import Path

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_SMALLEST, _LARGEST = 200, 512  # where the CRC may stand
_WAL_IDENTIFIER_AT = 24


def renew_system_identifier(data: Path) -> int:
    """Write a new identifier into a stopped cluster's files and return it."""
    identifier = (int(time.time()) << 32) | secrets.randbits(32)
    packed = struct.pack("=Q", identifier)
    control = data / "global" / "pg_control"
    content = bytearray(control.read_bytes())
    at = _crc_offset(content)
    old = bytes(content[:8])
    content[:8] = packed
    content[at : at + 4] = struct.pack("=I", _crc32c(content[:at]))
    for segment in sorted((data / "pg_wal").iterdir()):
        if len(segment.name) == 24:
            _patch(segment, _WAL_IDENTIFIER_AT, old, packed)
    with control.open("r+b") as file:
        file.write(content)
    return identifier


def _patch(path: Path, offset: int, old: bytes, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        if file.read(len(old)) == old:
            file.seek(offset)
            file.write(new)


def _crc_offset(content: bytes | bytearray) -> int:
    """Find where the checksum of all that stands before it is."""
    crc = _advance(0xFFFFFFFF, content[:_SMALLEST])
    for at in range(_SMALLEST, _LARGEST, 4):
        if struct.unpack_from("=I", content, at)[0] == crc ^ 0xFFFFFFFF:
            return at
        crc = _advance(crc, content[at : at + 4])
    raise ValueError("global/pg_control has no valid checksum where one is expected")


def _crc32c(content: bytes | bytearray) -> int:
    return _advance(0xFFFFFFFF, content) ^ 0xFFFFFFFF


def _advance(crc: int, content: bytes | bytearray) -> int:
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc
