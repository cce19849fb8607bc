"""Form fields for text: each gives what its reader in `domain` returns, and the reader's refusal beside the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import read_line, read_text

Found = TypeVar("Found")
MOST_TYPED = 100_000


def read_or_refuse(read: Callable[[str], Found], text: str) -> Found:
    """Return what a reader makes of a text; its refusal as the error of a form's field."""
    try:
        return read(text)
    except InvalidError as error:
        raise ValidationError(str(error)) from None


class LineField(forms.CharField):
    """A name or another text of one line, in the form in which it is kept."""

    def to_python(self, value: Any) -> str:
        """Read the line."""
        return read_or_refuse(lambda text: read_line(text, what="This"), super().to_python(value) or "")


class TextField(forms.CharField):
    """A text of several lines, in the form in which it is kept."""

    def to_python(self, value: Any) -> str:
        """Read the text."""
        return read_or_refuse(lambda text: read_text(text, what="This"), super().to_python(value) or "")


class RawField(forms.CharField):
    """A text that the form hands to a reader of its own: only its length is looked at here."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"strip": False, "max_length": MOST_TYPED, **options})
        self.validators = [each for each in self.validators if not _is_about_nul(each)]


def _is_about_nul(validator: Any) -> bool:
    """The reader names such a character with its place."""
    return type(validator).__name__ == "ProhibitNullCharactersValidator"
