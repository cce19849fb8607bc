"""What the forms of the set-up share: unique names, domain errors beside their field, secrets that are never shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model

from accessmgmt.domain.errors import ConflictError, InvalidError
from accessmgmt.forms.fields import LineField, TextField
from accessmgmt.models import Authorization, Endpoint, Group, Resource

Saved = TypeVar("Saved", bound=Model)
Row = TypeVar("Row", Resource, Authorization, Endpoint, Group)


class SetupForm(forms.ModelForm[Row]):
    """The form of a noun that admins describe: it has a name of its own, whatever the case, and a description."""

    class Meta:
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {"name": LineField, "description": TextField}
        widgets: ClassVar[dict[str, forms.Widget]] = {"description": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].error_messages["required"] = f"Give the {self._meta.model._meta.verbose_name} a name."

    def clean_name(self) -> str:
        """Refuse a name that another row has."""
        name: str = self.cleaned_data["name"].strip()
        taken = self._meta.model._default_manager.filter(name__iexact=name).exclude(pk=self.instance.pk).first()
        if taken is not None:
            raise ValidationError(f"There is already one called “{taken}”. Choose another name.")
        return name

    def ask_secrets_again(self) -> None:
        """Say beside each secret that was written that it is not sent back. For a page that shows the form again."""


class SecretInput(forms.PasswordInput):
    """A password box that is always rendered empty, and that password managers leave alone."""

    def __init__(self) -> None:
        super().__init__(render_value=False, attrs={"autocomplete": "new-password"})


class SecretTextarea(forms.Textarea):
    """A text box that is always rendered empty, whatever was stored or submitted."""

    def format_value(self, value: Any) -> None:
        """Give nothing back."""


def add_invalid(form: forms.BaseForm, error: InvalidError, *, field: str | None = None) -> None:
    """Put a domain error beside the fields it names, or beside `field` when it names none."""
    named = {name: texts for name, texts in error.fields.items() if name in form.fields}
    if not named:
        form.add_error(field, str(error))
    for name, texts in named.items():
        form.add_error(name, texts)


def save_or_refuse(form: forms.BaseForm, save: Callable[[], Saved]) -> Saved | None:
    """Return what `save` returns; None after a refusal, which then stands beside its field or at the top."""
    try:
        return save()
    except InvalidError as error:
        add_invalid(form, error)
    except ConflictError as error:
        form.add_error(None, str(error))
    return None


def required_messages(**messages: str) -> dict[str, Mapping[str, str]]:
    """Return the `error_messages` of a ModelForm for fields that must not be empty."""
    return {field: {"required": text} for field, text in messages.items()}
