"""Log in, and one's own profile."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError

from accessmgmt.domain.errors import TooManyError
from accessmgmt.domain.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD
from accessmgmt.models import User
from accessmgmt.services.people.sign_in import Caller, check_old_password, sign_in

TOO_MANY = "too_many"

PLACES = (
    "Africa/",
    "America/",
    "Antarctica/",
    "Arctic/",
    "Asia/",
    "Atlantic/",
    "Australia/",
    "Europe/",
    "Indian/",
    "Pacific/",
)


class LogInForm(AuthenticationForm):
    """E-mail address and password. One message for every failure, so that nobody learns who has an account."""

    error_messages = {
        "invalid_login": "This e-mail address and password do not belong together.",
        "inactive": "This e-mail address and password do not belong together.",
    }

    def __init__(self, *args: Any, caller: Caller, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.caller = caller
        self.fields["username"].label = "E-mail address"
        self.fields["username"].widget = forms.EmailInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "maxlength": 254}
        )
        self.fields["password"].label = "Password"
        self.fields["password"].widget.attrs["maxlength"] = LONGEST_PASSWORD

    def clean(self) -> dict[str, Any]:
        """Let the service decide; it audits every try and slows down guessing."""
        email, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if email and password:
            try:
                self.user_cache = sign_in(email=email, password=password, caller=self.caller)
            except TooManyError as error:
                raise ValidationError(str(error), code=TOO_MANY) from None
            if self.user_cache is None:
                raise self.get_invalid_login_error()
        return self.cleaned_data


class ProfileForm(forms.Form):
    """What people change about themselves."""

    name = forms.CharField(max_length=150, required=False, help_text="How others see you, such as on a request.")
    time_zone = forms.ChoiceField(help_text="Every time on these pages is shown in this zone.")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["autocomplete"] = "name"
        self.fields["time_zone"].choices = [(name, name.replace("_", " ")) for name in time_zones(user.time_zone)]  # type: ignore[attr-defined]


class OwnPasswordForm(PasswordChangeForm):
    """The old password, and the new one twice."""

    def __init__(self, *args: Any, caller: Caller, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.caller = caller
        self.fields["old_password"].label = "Current password"
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields["new_password1"].label = "New password"
        self.fields[
            "new_password1"
        ].help_text = f"At least {SHORTEST_PASSWORD} characters. A sentence is easier to remember than a word."
        for name in ("old_password", "new_password1", "new_password2"):
            self.fields[name].widget.attrs["maxlength"] = LONGEST_PASSWORD
        self.fields["new_password2"].label = "New password again"
        self.fields["new_password2"].help_text = ""

    def clean_old_password(self) -> str:
        """Let the service decide; wrong ones are audited and slowed down as at the sign-in."""
        password: str = self.cleaned_data["old_password"]
        try:
            is_right = check_old_password(user=self.user, password=password, caller=self.caller)
        except TooManyError as error:
            raise ValidationError(str(error), code=TOO_MANY) from None
        if not is_right:
            raise ValidationError("This is not your current password.", code="password_incorrect")
        return password


def time_zones(own: str) -> list[str]:
    """Return UTC, the zones that are called after places, and the person's own."""
    places = {name for name in zoneinfo.available_timezones() if name.startswith(PLACES)}
    return ["UTC", *sorted({*places, own} - {"UTC", ""})]
