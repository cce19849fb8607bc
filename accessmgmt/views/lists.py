"""What every list page shares: its filters and column heads as data, and the choice between page and fragment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from accessmgmt.policy.people import is_admin
from accessmgmt.views.paging import page_of
from accessmgmt.views.permissions import UserRequest
from accessmgmt.views.query import clean_choice, clean_search


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
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list page is called, how one row looks (`row` there), and what it says while it is empty.

    `noun` begins its URL names; `new` is the label of the link to describe one, for admins. `search_name` is the search
    box's name in the URL.
    """

    noun: str
    title: str
    placeholder: str
    row_template: str
    empty_icon: str = ""
    empty_title: str = ""
    empty_text: str = ""
    new: str = ""
    search_name: str = "q"
    is_wide: bool = False
    template: str = "lists/page.html"


def columns(request: UserRequest, *heads: tuple[str, str] | tuple[str, str, str]) -> list[Column]:
    """Make column heads out of (label, sort key) or (label, sort key, "number"); a second click turns the order."""
    current = sorted_by(request)
    made = []
    for label, key, *kind in heads:
        is_number = "number" in kind
        direction = {key: "ascending", f"-{key}": "descending"}.get(current, "") if key else ""
        first, second = (f"-{key}", key) if is_number else (key, f"-{key}")
        made.append(Column(label, (second if current == first else first) if key else "", direction, is_number))
    return made


def searched(request: UserRequest, listing: Listing) -> str:
    """Return what stands in the list's search box."""
    return clean_search(request.GET.get(listing.search_name))


def sorted_by(request: UserRequest) -> str:
    """Return what the list is ordered by, as the URL names it. Which columns there are is the selector's to say."""
    return request.GET.get("sort", "")


def chosen(request: UserRequest, name: str, label: str, options: Sequence[tuple[str, str]]) -> Filter:
    """Make a drop-down with what the URL chose of it; its first option for anything that it does not offer."""
    return Filter(name, label, options, clean_choice(request.GET.get(name), {value for value, _ in options}))


def render_list(
    request: UserRequest,
    listing: Listing,
    rows: QuerySet[Any],
    heads: Sequence[Column],
    filters: Sequence[Filter] = (),
) -> HttpResponse:
    """Render one page of a list."""
    search = searched(request, listing)
    context = {
        "listing": listing,
        "page": page_of(request, rows),
        "search": search,
        "filters": filters,
        "columns": heads,
        "is_filtered": bool(search) or any(choice.value for choice in filters),
        "new_url": reverse(f"accessmgmt:{listing.noun}-create") if listing.new and is_admin(request.user) else "",
    }
    return render_part(request, listing.template, "lists/page.html#rows", context)


def render_part(request: UserRequest, page: str, fragment: str, context: Mapping[str, Any]) -> HttpResponse:
    """Render only a fragment for htmx, and the whole page otherwise."""
    response = render(request, fragment if is_fragment(request) else page, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def is_fragment(request: UserRequest) -> bool:
    """Say whether htmx asks for a part of the page; after "back" it asks for the whole one."""
    return bool(request.htmx) and not request.htmx.history_restore_request
