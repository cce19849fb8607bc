"""Asking for access, and deciding on it."""

from __future__ import annotations

from typing import Any

from django import forms

from accessmgmt.domain.ttl import format_ttl, ttl_in_words
from accessmgmt.forms.fields import LineField, RawField, TextField
from accessmgmt.models import Endpoint

LONGEST_TEXT = 2_000
USUAL_SECONDS = 3_600


class RequestForm(forms.Form):
    """Why, and for how long. The service checks both once more."""

    reason = TextField(
        label="Why do you need it?",
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="At least 10 characters. The approver decides by it, and it stays in the audit trail.",
        error_messages={"required": "Write at least 10 characters: the approver decides by it."},
    )
    duration = RawField(
        label="For how long?",
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Write for how long, for example 2h."},
    )

    def __init__(self, *args: Any, endpoint: Endpoint, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["duration"].initial = format_ttl(min(USUAL_SECONDS, endpoint.ttl_seconds))
        self.fields["duration"].help_text = f"Such as 45m, 2h or 1h30m. At most {ttl_in_words(endpoint.ttl_seconds)}."


class DecisionForm(forms.Form):
    """A comment, a shorter duration when it is approved for less, and the digest of what the approver was shown."""

    duration = RawField(
        label="Approve for",
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    comment = LineField(
        label="Comment",
        required=False,
        max_length=LONGEST_TEXT,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "Optional, the person reads it"}),
    )
    attested = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
