"""What the reads of lists share: names for drop-downs, counts, and the order of rows."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Count, F, IntegerField, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accessmgmt.domain.states import LIVE_GRANT_STATES
from accessmgmt.models import Authorization, Endpoint, Grant, Resource

Row = TypeVar("Row", bound=Model)


def named(rows: type[Resource] | type[Authorization] | type[Endpoint], everything: str) -> list[tuple[str, str]]:
    """Return (primary key, name) of every row for a drop-down, after a first choice that stands for all."""
    names = rows._default_manager.order_by("name").values_list("pk", "name")
    return [("", everything), *((str(pk), name) for pk, name in names)]


def counted(rows: QuerySet[Any], by: str) -> Coalesce:
    """Count related rows in a subquery, so that several counts in one list do not multiply each other."""
    counts = rows.order_by().values(by).annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counts, output_field=IntegerField()), 0)


def count_live_grants(by: str) -> Coalesce:
    return counted(Grant.objects.filter(**{by: OuterRef("pk"), "state__in": LIVE_GRANT_STATES}), by)


def sort_by(rows: QuerySet[Row], sort: str, columns: dict[str, str]) -> QuerySet[Row]:
    """Order by a column that the page offers (`-` in front: descending), then by the model's own order."""
    column = columns.get(sort.removeprefix("-"))
    if column is None:
        return rows
    field = F(column)
    order = field.desc(nulls_last=True) if sort.startswith("-") else field.asc(nulls_first=True)
    return rows.order_by(order, *(rows.model._meta.ordering or ("pk",)))
