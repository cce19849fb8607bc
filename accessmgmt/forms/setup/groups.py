"""The forms of a group: its name, its members, its endpoints."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accessmgmt.domain.address_lists import MOST_CHARACTERS, Addresses, read_addresses
from accessmgmt.forms.base import SetupForm
from accessmgmt.forms.fields import RawField
from accessmgmt.models import Endpoint, Group
from accessmgmt.selectors.setup.groups import endpoints_not_wired


class GroupForm(SetupForm[Group]):
    """Checks the name and the description of a group."""

    class Meta(SetupForm.Meta):
        model = Group
        fields = ("name", "description")
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}


class MembersForm(forms.Form):
    """Reads a pasted list of e-mail addresses."""

    emails = RawField(
        label="E-mail addresses",
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(
            attrs={"rows": 3, "spellcheck": "false", "placeholder": "dev1@company.com, dev2@company.com"}
        ),
        help_text="Paste as many as you like, as your mail program, a table or Terraform has them.",
        error_messages={"required": "Paste at least one e-mail address."},
    )

    def clean_emails(self) -> Addresses:
        """Return what was read; entries that are no addresses are no error as long as there are good ones."""
        found = read_addresses(self.cleaned_data["emails"])
        if not found.good:
            raise ValidationError(found.reasons or self.fields["emails"].error_messages["required"])
        return found

    def with_the_rest(self) -> MembersForm:
        """Return the form to show after the addresses were taken: other entries stay in the box, with reasons."""
        found: Addresses = self.cleaned_data["emails"]
        form = MembersForm({"emails": found.rest})
        form.full_clean()
        if "emails" not in form.errors:
            form.add_error("emails", ValidationError(found.reasons))
        return form


class WireForm(forms.Form):
    """Chooses an endpoint that the group is not wired to yet."""

    endpoint = forms.ModelChoiceField(
        queryset=Endpoint.objects.none(),
        empty_label="Choose an endpoint",
        error_messages={
            "required": "Choose an endpoint.",
            "invalid_choice": "This endpoint is gone, or wired already. Choose another one.",
        },
    )

    def __init__(self, group: Group, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["endpoint"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = endpoints_not_wired(group)
