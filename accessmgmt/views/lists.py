"""What every list page shares: its filters and column heads as data, and the choice between page and fragment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from accessmgmt.views.permissions import UserRequest


@dataclass(frozen=True, slots=True)
class Filter:
    """A drop-down above a list. The first option stands for all rows and has the value ""."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    value: str


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column. `sort` is what a click asks for, "" when the column cannot be sorted by."""

    label: str
    sort: str = ""
    direction: str = ""
    is_number: bool = False


def columns(request: UserRequest, *heads: tuple[str, str] | tuple[str, str, str]) -> list[Column]:
    """Make column heads out of (label, sort key) or (label, sort key, "number"); a second click turns the order."""
    current = request.GET.get("sort", "")
    made = []
    for label, key, *kind in heads:
        is_number = "number" in kind
        direction = {key: "ascending", f"-{key}": "descending"}.get(current, "") if key else ""
        first, second = (f"-{key}", key) if is_number else (key, f"-{key}")
        made.append(Column(label, (second if current == first else first) if key else "", direction, is_number))
    return made


def render_list(request: UserRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
    """Render a list: only its `rows` fragment for htmx, and the whole page otherwise."""
    filters: Sequence[Filter] = context.get("filters", ())
    is_filtered = bool(context.get("search")) or any(choice.value for choice in filters)
    name = f"{template}#rows" if is_fragment(request) else template
    response = render(request, name, {**context, "is_filtered": is_filtered})
    patch_vary_headers(response, ["HX-Request"])
    return response


def is_fragment(request: UserRequest) -> bool:
    """Say whether htmx asks for a part of the page; after "back" it asks for the whole one."""
    return bool(request.htmx) and not request.htmx.history_restore_request
