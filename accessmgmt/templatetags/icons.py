"""Icons, and words on a tinted pill."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

ICON_NAME = re.compile(r"[a-z0-9-]+")


@lru_cache(maxsize=512)
def _icon_body(name: str, style: str) -> str:
    """Return what stands inside the <svg> of an icon's file. Raises TemplateSyntaxError for an unknown icon."""
    path = Path(settings.ICONS_DIR) / style / f"{name}.svg"
    if ICON_NAME.fullmatch(name) is None or not path.is_file():
        raise template.TemplateSyntaxError(f"There is no {style} icon “{name}”.")
    text = path.read_text(encoding="utf-8")
    return text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")].strip()


@register.simple_tag
def icon(name: str, *, filled: bool = False, **attributes: str) -> SafeString:
    """Inline an icon: {% icon "database" class="text-red" %}. Decorative: a word stands beside it."""
    return _svg(name, attributes.get("class", ""), filled=filled)


def _svg(name: str, classes: str, *, filled: bool = False) -> SafeString:
    style = "filled" if filled else "outline"
    paint = 'fill="currentColor"' if filled else 'fill="none" stroke="currentColor" stroke-width="2"'
    return format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24" {} stroke-linecap="round"'
        ' stroke-linejoin="round" class="icon {}" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(paint),  # noqa: S308 - one of two constants
        classes,
        mark_safe(_icon_body(name, style)),  # noqa: S308 - a file of the icon package
    )


@register.simple_tag
def badge(word: str, *, colour: str = "grey", icon: str = "") -> SafeString:
    """Show a word on a tinted pill; `colour` is grey, blue, green, amber or red."""
    picture = _svg(icon, "icon-spin" if icon == "loader-2" else "") if icon else ""
    return format_html('<span class="state state-{}">{}{}</span>', colour, picture, word)
