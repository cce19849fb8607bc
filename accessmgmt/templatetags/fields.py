"""Form fields in the look of the pages, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import template
from django.forms import BaseForm, BoundField, widgets

register = template.Library()


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, **options: Any) -> dict[str, Any]:
    """Render a label, the widget with Tabler's classes, the help text and the errors of one form field.

    Options: `class` for the wrapper, `label` instead of the field's own, `hide_label=True`, any other one becomes an
    attribute of the widget (`autocomplete="off"`, `hx_get=…`: underscores become hyphens).
    """
    wrapper = options.pop("class", "mb-3")
    label = options.pop("label", bound.label)
    hide_label = options.pop("hide_label", False)
    widget = bound.field.widget
    kind = _kind_of(widget)
    described = []
    if bound.help_text:
        described.append(f"{bound.auto_id}-help")
    if bound.errors:
        described.append(f"{bound.auto_id}-error")
    own = str(widget.attrs.get("class", ""))
    looks = {"check": "form-check-input", "choices": "form-check-input", "select": "form-select"}
    attributes: dict[str, Any] = {name.replace("_", "-"): value for name, value in options.items()}
    attributes["class"] = " ".join(
        filter(None, [looks.get(kind, "form-control"), own, "is-invalid" if bound.errors else ""])
    )
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if bound.errors:
        attributes["aria-invalid"] = "true"
    return {
        "field": bound,
        "kind": kind,
        "wrapper": wrapper,
        "label": label,
        "hide_label": hide_label,
        "widget": "" if kind == "choices" else bound.as_widget(attrs=attributes),
        "choices": _choices(bound, attributes) if kind == "choices" else (),
    }


def _kind_of(widget: widgets.Widget) -> str:
    if isinstance(widget, widgets.RadioSelect | widgets.CheckboxSelectMultiple):
        return "choices"
    if isinstance(widget, widgets.CheckboxInput):
        return "check"
    if isinstance(widget, widgets.Select):
        return "select"
    return "input"


def _choices(bound: BoundField, attributes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give each choice its own input; what describes the whole set stands on the fieldset."""
    shared = {name: value for name, value in attributes.items() if not name.startswith("aria-")}
    for choice in bound.subwidgets:
        choice.data["attrs"] |= shared
        yield {"id": choice.id_for_label, "label": choice.choice_label, "input": choice.tag()}


@register.inclusion_tag("components/form_errors.html")
def form_errors(form: BaseForm) -> dict[str, Any]:
    """Show what is wrong with a form as a whole."""
    return {"errors": form.non_field_errors() if form.is_bound else []}
