"""What stands around and between the content of pages: navigation, pages of lists, empty states, copy buttons."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.paginator import Page
from django.http import QueryDict
from django.template import RequestContext
from django.urls import reverse

from accessmgmt.models import User
from accessmgmt.policy.people import is_auditor

register = template.Library()


@register.inclusion_tag("components/nav_link.html", takes_context=True)
def nav_link(
    context: RequestContext, name: str, label: str, icon: str, *, count: int | None = None, tone: str = ""
) -> dict[str, Any]:
    """Show one entry of the navigation. It is the current one when the page's URL name begins with the same noun."""
    request = context.get("request")
    match = getattr(request, "resolver_match", None)
    noun = (match.url_name or "").partition("-")[0] if match else ""
    user = context.get("user")
    if noun == "grant" and not (isinstance(user, User) and is_auditor(user)):
        noun = "my"
    return {
        "name": name,
        "url": reverse(f"accessmgmt:{name}"),
        "label": label,
        "icon": icon,
        "count": count,
        "tone": tone,
        "is_current": noun == name.partition("-")[0],
    }


@register.inclusion_tag("components/empty_state.html")
def empty_state(
    *, title: str, text: str = "", icon: str = "database-off", url: str = "", label: str = ""
) -> dict[str, Any]:
    """Say why a list is empty and what to do first."""
    return {"icon": icon, "title": title, "text": text, "url": url, "label": label}


@register.inclusion_tag("components/copy_button.html")
def copy_button(*, target: str, label: str = "Copy", **options: str) -> dict[str, Any]:
    """Copy the text of the element that the selector names. Needs JavaScript, so it is hidden without."""
    return {"target": target, "label": label, "extra": options.get("class", "")}


@register.simple_tag(takes_context=True)
def query_replace(context: RequestContext, **changes: Any) -> str:
    """Return the current query string with changes: {% query_replace page=2 %}; None removes a key."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else QueryDict(mutable=True)
    for name, value in changes.items():
        query.pop(name, None)
        if value not in (None, ""):
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.simple_tag
def page_numbers(page: Page[Any]) -> list[int | str]:
    """Return the page numbers to show around the current one; "…" stands for those left out."""
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1))
