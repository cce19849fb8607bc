"""Icons and badges."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template, TemplateSyntaxError

from accessmgmt.templatetags import icons, words


def test_every_icon_that_a_template_names_exists() -> None:
    names: set[str] = set()
    for path in (settings.BASE_DIR / "templates").rglob("*.html"):
        text = path.read_text()
        names |= set(re.findall(r'{% (?:icon|empty_state icon=) ?"([a-z0-9-]+)"', text))
        names |= set(re.findall(r'{% empty_state [^%]*?icon="([a-z0-9-]+)"', text))
        names |= set(re.findall(r'{% nav_link "[^"]+" "[^"]+" "([a-z0-9-]+)"', text))
    looks = (words.STATE_LOOKS, words.RUNG_LOOKS, words.SEVERITY_LOOKS)
    names |= {icon for look in looks for _, icon in look.values()}
    missing = [name for name in sorted(names) if not (Path(settings.ICONS_DIR) / "outline" / f"{name}.svg").is_file()]
    assert names
    assert not missing


def test_icon_is_hidden_from_screen_readers_and_keeps_its_class() -> None:
    html = Template('{% load icons %}{% icon "database" class="x" %}').render(Context())
    assert 'class="icon x"' in html
    assert 'aria-hidden="true"' in html


@pytest.mark.parametrize("name", ["../secrets", "no-such-icon-at-all", ""])
def test_unknown_icon_is_refused(name: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        icons.icon(name)


def test_badge_has_word_icon_and_colour() -> None:
    html = words.state_badge("overdue")
    assert "Overdue" in html
    assert "<svg" in html
    assert "state-red" in html
