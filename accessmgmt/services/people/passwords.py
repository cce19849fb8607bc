"""The one rule for passwords of people, as Django asks it: in forms, on the command line and in services."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD, find_weakness
from accessmgmt.models import User


class StrengthValidator:
    """Refuses passwords that are too long or too easy to guess (AUTH_PASSWORD_VALIDATORS)."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError with the reason and what to do."""
        own = [user.email, user.name] if user is not None else []
        weakness = find_weakness(password, [*own, urlsplit(settings.BASE_URL).hostname or ""])
        if weakness is not None:
            raise ValidationError(f"{weakness.why} {weakness.todo}", code="password_too_weak")

    def get_help_text(self) -> str:
        """Say what is asked for."""
        return f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters: a sentence that only you would write."


def check_new_password(password: str, user: User) -> None:
    """Raise InvalidError (field `password`) unless it is good enough for the person."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidError("The password is too weak.", fields={"password": error.messages}) from None
