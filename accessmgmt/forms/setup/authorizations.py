"""The form of an authorization: privileges as check boxes, names as text."""

from __future__ import annotations

from typing import Any

from django import forms

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.object_names import EVERYTHING, MOST_CHARACTERS, read_names, write_names
from accessmgmt.domain.permissions import ALL, ELEVATED, Privilege, parse_permissions
from accessmgmt.forms.base import SetupForm, add_invalid
from accessmgmt.forms.fields import RawField
from accessmgmt.models import Authorization

MEANINGS = {
    Privilege.SELECT: "read rows",
    Privilege.INSERT: "add rows; draw and see the numbers of their sequences",
    Privilege.UPDATE: "change rows; set their sequences",
    Privilege.DELETE: "remove rows",
    Privilege.TRUNCATE: "empty a table at once",
    Privilege.REFERENCES: "point foreign keys at it",
    Privilege.TRIGGER: "put triggers on it",
    Privilege.MAINTAIN: "VACUUM, ANALYZE, REINDEX; from PostgreSQL 17",
    ALL: "every privilege the server knows",
}
ROWS = tuple(p for p in Privilege if p not in ELEVATED)
REACHING = (*(p for p in Privilege if p in ELEVATED), ALL)


class AuthorizationForm(SetupForm[Authorization]):
    """Checks a new or changed authorization; the JSON of a valid form stands in `instance.permissions`."""

    grants = forms.MultipleChoiceField(
        choices=[(str(p), str(p)) for p in (*ROWS, *REACHING)],
        label="Privileges",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one privilege."},
    )
    schemas = RawField(
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One a line, or separated by commas. * stands for any text: app_* and * alone work.",
        error_messages={"required": "Name at least one schema, or * for every schema."},
    )
    all_tables = forms.BooleanField(required=False, label="All tables, also those made later")
    tables = RawField(
        required=False,
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="One a line, or separated by commas, without the schema. Patterns such as events_* work. Upper and"
        ' lower case count. In double quotes a name is taken exactly: "a.b".',
    )

    class Meta(SetupForm.Meta):
        model = Authorization
        fields = ("name", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance: Authorization | None = kwargs.get("instance")
        initial = {"all_tables": True, "grants": [str(Privilege.SELECT)], "schemas": "public"}
        if instance is not None:
            said = instance.permissions
            is_all = said["tables"] == [EVERYTHING]
            initial = {
                "grants": list(instance.permission_set.grants),
                "schemas": write_names(said["schemas"]),
                "all_tables": is_all,
                "tables": "" if is_all else write_names(said["tables"]),
            }
        kwargs["initial"] = {**initial, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        self.stored_permissions: dict[str, list[str]] = self.instance.permissions or {}

    @property
    def privilege_groups(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """The check boxes in two groups, for the page."""
        chosen = set(self["grants"].value() or ())
        return [
            (title, [self._box(str(p), chosen) for p in privileges])
            for title, privileges in (("Rows", ROWS), ("Beyond rows", REACHING))
        ]

    def clean(self) -> dict[str, Any]:
        """Put the permissions together, and each complaint about them beside its field."""
        super().clean()
        data = self.cleaned_data
        permissions = {
            "grants": self._ordered(data.get("grants", [])),
            "schemas": self._names("schemas"),
            "tables": [EVERYTHING] if data.get("all_tables") else self._names("tables"),
        }
        if not permissions["tables"] and "tables" not in self.errors:
            self.add_error("tables", "Name at least one table, or choose all tables.")
        if not permissions["schemas"] and "schemas" not in self.errors:
            self.add_error("schemas", "Name at least one schema, or * for every schema.")
        if not self.errors.keys() & permissions.keys():
            try:
                parse_permissions(permissions)
            except InvalidError as error:
                add_invalid(self, error, field="tables")
        self.instance.permissions = permissions
        return data

    def _names(self, field: str) -> list[str]:
        try:
            return read_names(self.cleaned_data.get(field, ""), field)
        except InvalidError as error:
            add_invalid(self, error, field=field)
            return []

    def _ordered(self, chosen: list[str]) -> list[str]:
        """Keep the stored order and spelling of what stays chosen; what is new follows in PostgreSQL's order."""
        kept = [g for g in self.stored_permissions.get("grants", []) if _canonical(g) in chosen]
        return kept + [g for g in chosen if g not in {_canonical(k) for k in kept}]

    def _box(self, privilege: str, chosen: set[str]) -> dict[str, Any]:
        return {
            "value": privilege,
            "meaning": MEANINGS[privilege],
            "is_checked": privilege in chosen,
            "is_elevated": privilege in ELEVATED or privilege == ALL,
        }


def _canonical(grant: str) -> str:
    upper = grant.strip().upper()
    return ALL if upper == "ALL PRIVILEGES" else upper
