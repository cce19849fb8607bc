"""What stands around the content of pages."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.template import Context, Template
from django.test import RequestFactory


def render(text: str, **context: object) -> str:
    return Template("{% load shell %}" + text).render(Context(context))


def test_query_replace_keeps_the_other_filters() -> None:
    request = RequestFactory().get("/", {"q": "a b", "page": "3"})
    assert render("{% query_replace page=2 %}", request=request) == "?q=a+b&amp;page=2"
    assert render("{% query_replace page=None %}", request=request) == "?q=a+b"


def test_pagination_names_its_range() -> None:
    request = RequestFactory().get("/", {"q": "x"})
    page = Paginator(range(1, 2_001), 50).get_page(3)
    html = render('{% include "components/pagination.html" %}', page=page, request=request)
    assert "101\u2013150 of 2,000" in " ".join(html.split())
    assert 'href="?q=x&amp;page=4"' in html
    assert 'aria-current="page"' in html


def test_one_page_has_no_links() -> None:
    page = Paginator([1, 2], 50).get_page(1)
    html = render('{% include "components/pagination.html" %}', page=page, request=RequestFactory().get("/"))
    assert "page-link" not in html
