"""The forms of a person's account."""

from __future__ import annotations

from django import forms

from accessmgmt.domain.emails import read_address
from accessmgmt.domain.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD
from accessmgmt.forms.base import SecretInput
from accessmgmt.forms.fields import LineField, RawField, read_or_refuse
from accessmgmt.models import User


class NewUserForm(forms.Form):
    """Checks a new account. Whether the address is free and the password strong is the service's to say."""

    email = RawField(
        label="E-mail address",
        max_length=1_000,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text="The sign-in name. Groups know the person by it.",
        error_messages={"required": "Write the e-mail address."},
    )
    name = LineField(required=False, max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=User.Role.choices, initial=User.Role.MEMBER)
    password = forms.CharField(
        label="Initial password",
        strip=False,
        max_length=LONGEST_PASSWORD,
        widget=SecretInput,
        help_text=f"At least {SHORTEST_PASSWORD} characters that nobody guesses. Hand it over by a safe way.",
        error_messages={"required": "Write an initial password."},
    )

    def clean_email(self) -> str:
        """Return the address in normal form."""
        return read_or_refuse(read_address, self.cleaned_data["email"])


class UserForm(forms.Form):
    """Checks a changed account."""

    name = LineField(required=False, max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=User.Role.choices)
    is_active = forms.BooleanField(
        required=False,
        label="May sign in and use access",
        help_text="Without it the account is suspended: whatever the person holds now is ended at once.",
    )
