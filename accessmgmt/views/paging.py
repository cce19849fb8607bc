"""Pages of lists: how many rows one holds, which one the URL asks for, and how far rows are counted."""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet

from accessmgmt.views.permissions import UserRequest

ROWS_A_PAGE = 50
CARDS_A_PAGE = 20
OWN_ENDPOINTS_A_PAGE = 25
MOST_COUNTED = 10_000
Row = TypeVar("Row", bound=Model)


class BoundedPaginator(Paginator[Row]):
    """Counts no further than MOST_COUNTED: a list of a million rows must not be counted for each page."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most MOST_COUNTED."""
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by()[:MOST_COUNTED].count()

    @property
    def is_cut(self) -> bool:
        """Whether there may be more than the pages show."""
        return self.count == MOST_COUNTED


def page_of(request: UserRequest, rows: QuerySet[Row], size: int = ROWS_A_PAGE) -> Page[Row]:
    """Return the page of a list that the URL asks for; text that is no number
    gives the first, one that is too high the last."""
    return Paginator(rows, size).get_page(_number(request))


def bounded_page_of(request: UserRequest, rows: QuerySet[Row]) -> Page[Row]:
    """Return the page that the URL asks for; only the first MOST_COUNTED rows have pages."""
    return BoundedPaginator(rows, ROWS_A_PAGE).get_page(_number(request))


def _number(request: UserRequest) -> str | None:
    return request.GET.get("page")
