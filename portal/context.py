"""What every page's shell needs: navigation counts and the product's name."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from accessmgmt.selectors.shell import shell_counts


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the shell's context; nothing for visitors who are not signed in, and for htmx fragments."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or getattr(request, "htmx", False):
        return {}
    return {"shell": shell_counts(user)}
