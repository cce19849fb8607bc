"""What proves an audit trail: authenticated events, counted events, chained events, and checkpoints kept elsewhere.

The key is not in the database, so that who can write there can neither add an event, nor take the newest one away
unseen, nor make a chain that holds. All proofs are HMAC-SHA256 (RFC 2104), 64 hexadecimal digits.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

GENESIS = "0" * 64
SLOTS = 64
"""Counters that events are numbered by: an act takes one that nobody else holds, so that none waits for another."""


def event_mac(key: str, event: Mapping[str, object], *, slot: int, number: int) -> str:
    """Authenticate an event as the `number`th of its slot; `event` is its JSON-able content without its id."""
    return _hmac(key, "event", _canonical({**event, "slot": slot, "number": number}))


def slot_mac(key: str, slot: int, count: int) -> str:
    """Authenticate how many events a slot has numbered."""
    return _hmac(key, "slot", f"{slot}:{count}")


def seal_hash(key: str, event: Mapping[str, object], previous_hash: str) -> str:
    """Seal an event, id included, to the seal before it."""
    text = _canonical({**event, "previous_hash": previous_hash})
    return hmac.new(key.encode(), text.encode(), "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of the chain at a moment, as one line of a file outside the database."""

    at: str
    sequence: int
    hash: str

    def as_line(self, key: str) -> str:
        """Return the line, authenticated."""
        return json.dumps({"at": self.at, "sequence": self.sequence, "hash": self.hash, "mac": self._mac(key)})

    def _mac(self, key: str) -> str:
        return _hmac(key, "checkpoint", f"{self.at}:{self.sequence}:{self.hash}")


def read_checkpoint(line: str, key: str) -> Checkpoint | None:
    """Read a line that `Checkpoint.as_line` gave; None when it is something else, or not authentic."""
    try:
        value = json.loads(line)
        found = Checkpoint(str(value["at"]), int(value["sequence"]), str(value["hash"]))
        mac = str(value["mac"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if hmac.compare_digest(mac.encode(), found._mac(key).encode()) else None


def _canonical(document: Mapping[str, object]) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def _hmac(key: str, purpose: str, text: str) -> str:
    return hmac.new(key.encode(), f"{purpose}\n{text}".encode(), "sha256").hexdigest()
