"""What a query string says: each value in the form that selectors take, and nothing for what cannot be meant."""

from __future__ import annotations

import uuid
from collections.abc import Container
from datetime import date

LONGEST_SEARCH = 200


def clean_search(text: str | None) -> str:
    """Return what was typed into a search box, without what PostgreSQL refuses in a text (NUL)."""
    return (text or "").replace("\x00", "").strip()[:LONGEST_SEARCH]


def clean_choice(text: str | None, choices: Container[str]) -> str:
    """Return one of the values that a drop-down offers; "", which stands for all of them, for anything else."""
    return text if text and text in choices else ""


def clean_pk(text: str | None) -> int | None:
    """Return a primary key; None for anything that cannot be one."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= 18 else None


def clean_uuid(text: str | None) -> uuid.UUID | None:
    """Return a primary key that is a UUID; None for anything that is none."""
    try:
        return uuid.UUID(text or "")
    except ValueError:
        return None


def clean_day(text: str | None) -> date | None:
    """Return a day as a date field writes it; None for anything else."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if 2000 <= day.year <= 9000 else None
