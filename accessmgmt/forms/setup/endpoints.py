"""The form of an endpoint."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accessmgmt.domain.address_lists import MOST_CHARACTERS, read_addresses
from accessmgmt.domain.emails import show_address
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.ttl import parse_ttl, read_ttl
from accessmgmt.forms.base import SetupForm, required_messages
from accessmgmt.forms.fields import RawField, read_or_refuse
from accessmgmt.models import Authorization, Endpoint, Resource
from accessmgmt.selectors.setup.endpoints import endpoint_sentence


class EndpointForm(SetupForm[Endpoint]):
    """Checks a new or changed endpoint; `cleaned_data["approvers"]` is a list of e-mail addresses."""

    approvers = RawField(
        required=False,
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "lead@company.com"}),
        help_text="E-mail addresses, one a line or separated by commas. Admins can always decide.",
    )

    class Meta(SetupForm.Meta):
        model = Endpoint
        fields = ("name", "description", "resource", "authorization", "ttl", "is_jit_enabled", "is_requestable")
        field_classes = {**SetupForm.Meta.field_classes, "ttl": RawField}
        labels = {
            "ttl": "Time to live",
            "is_jit_enabled": "Just in time: each use needs an approval",
            "is_requestable": "Anybody who is signed in may request it",
        }
        help_texts = {"ttl": "How long one activation lasts: 8h, 90m, 7d or 1h30m. From 1 minute to 365 days."}
        error_messages = required_messages(
            resource="Choose a resource.",
            authorization="Choose an authorization.",
            ttl="Write how long access lasts, for example 8h.",
        )
        widgets = {
            **SetupForm.Meta.widgets,
            "ttl": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "8h"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance: Endpoint | None = kwargs.get("instance")
        if instance is not None:
            approvers = "\n".join(map(show_address, instance.approvers.values_list("email", flat=True)))
            kwargs["initial"] = {"approvers": approvers, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        for name, rows in (("resource", Resource.objects.only("name")), ("authorization", Authorization.objects.all())):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = rows
            field.empty_label = f"Choose {'a' if name == 'resource' else 'an'} {name}"

    def clean_ttl(self) -> str:
        """Refuse what is no duration."""
        text = read_or_refuse(read_ttl, self.cleaned_data["ttl"])
        self.instance.ttl_seconds = parse_ttl(text)
        return text

    def clean_approvers(self) -> list[str]:
        """Return the addresses in normal form."""
        found = read_addresses(self.cleaned_data["approvers"])
        if found.bad:
            raise ValidationError(found.reasons)
        return list(found.good)

    def sentence(self) -> str:
        """Say what the endpoint means as far as the form is filled in; nothing has to be valid."""
        resource = _chosen(self["resource"].value(), Resource)
        authorization = _chosen(self["authorization"].value(), Authorization)
        return endpoint_sentence(
            permissions=_permissions(authorization),
            resource_name=resource.name if resource else "",
            ttl_seconds=_seconds(self["ttl"].value()),
            needs_approval=_is_checked(self["is_jit_enabled"]),
            is_requestable=_is_checked(self["is_requestable"]),
            approvers=_emails(self["approvers"].value()),
        )


def _chosen(value: Any, rows: type[Resource] | type[Authorization]) -> Any:
    text = str(getattr(value, "pk", value) or "")
    return rows._default_manager.filter(pk=text).first() if text.isdecimal() and len(text) <= 18 else None


def _permissions(authorization: Authorization | None) -> PermissionSet | None:
    return authorization.permission_set if authorization else None


def _is_checked(box: forms.BoundField) -> bool:
    return (
        bool(box.field.widget.value_from_datadict(box.form.data, {}, box.html_name))
        if (box.form.is_bound)
        else bool(box.value())
    )


def _seconds(text: Any) -> int | None:
    try:
        return parse_ttl(str(text or ""))
    except InvalidError:
        return None


def _emails(text: Any) -> list[str]:
    return list(read_addresses(str(text or "")[:MOST_CHARACTERS]).good)
