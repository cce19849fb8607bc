"""The small pieces of every page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.utils import timezone

from accessmgmt.templatetags import ui

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def render(text: str, **context: object) -> str:
    return Template("{% load ui %}" + text).render(Context(context))


def test_every_icon_that_a_template_names_exists() -> None:
    names: set[str] = set()
    for path in (settings.BASE_DIR / "templates").rglob("*.html"):
        text = path.read_text()
        names |= set(re.findall(r'{% (?:icon|empty_state icon=) ?"([a-z0-9-]+)"', text))
        names |= set(re.findall(r'{% empty_state [^%]*?icon="([a-z0-9-]+)"', text))
        names |= set(re.findall(r'{% nav_link "[^"]+" "[^"]+" "([a-z0-9-]+)"', text))
    names |= {icon for looks in (ui.STATE_LOOKS, ui.RUNG_LOOKS, ui.SEVERITY_LOOKS) for _, icon in looks.values()}
    missing = [name for name in sorted(names) if not (Path(settings.ICONS_DIR) / "outline" / f"{name}.svg").is_file()]
    assert names
    assert not missing


def test_icon_is_hidden_from_screen_readers_and_keeps_its_class() -> None:
    html = render('{% icon "database" class="x" %}')
    assert 'class="icon x"' in html
    assert 'aria-hidden="true"' in html


@pytest.mark.parametrize("name", ["../secrets", "no-such-icon-at-all", ""])
def test_unknown_icon_is_refused(name: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        ui.icon(name)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-44, "just now"),
        (44, "in a moment"),
        (-60, "1 minute ago"),
        (-59 * 60, "59 minutes ago"),
        (2 * 3600, "in 2 hours"),
        (-86_400, "1 day ago"),
        (31 * 86_400, "01 Apr 2026"),
    ],
)
def test_relative_words(seconds: int, words: str) -> None:
    assert ui.relative_words(NOW + timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0:00"), (65, "1:05"), (8 * 3600 + 62, "8:01:02"), (2 * 86_400 + 3 * 3600, "2 d 03 h")],
)
def test_clock_words(seconds: int, words: str) -> None:
    assert ui.clock_words(seconds) == words


def test_instant_names_the_zone_and_utc() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        html = ui.instant(NOW)
    assert "13:00:00 Europe/Berlin (01 Mar 12:00:00 UTC)" in html
    assert 'datetime="2026-03-01T12:00:00+00:00"' in html


def test_nothing_instead_of_an_instant_is_a_dash() -> None:
    assert "—" in ui.instant(None)
    assert "—" in ui.instant("no date")


def test_countdown_is_near_when_it_warns() -> None:
    now = timezone.now()
    assert "is-near" in ui.countdown(now + timedelta(minutes=1), now - timedelta(minutes=1))
    assert "is-near" not in ui.countdown(now + timedelta(hours=1), now + timedelta(minutes=50))


def test_badge_has_word_icon_and_colour() -> None:
    html = ui.state_badge("overdue")
    assert "Overdue" in html
    assert "<svg" in html
    assert "state-red" in html


class SampleForm(forms.Form):
    name = forms.CharField(help_text="As on the door")
    kind = forms.ChoiceField(choices=[("a", "A"), ("b", "B")])
    is_loud = forms.BooleanField(required=False)
    grants = forms.MultipleChoiceField(choices=[("S", "Select"), ("I", "Insert")], widget=forms.CheckboxSelectMultiple)


def test_field_names_its_help_and_its_error() -> None:
    html = render("{% field form.name %}", form=SampleForm({}))
    assert 'aria-describedby="id_name-help id_name-error"' in html
    assert 'aria-invalid="true"' in html
    assert "form-label required" in html
    assert 'class="form-control is-invalid"' in html
    assert html.count("aria-describedby") == 1


def test_field_takes_the_look_of_its_kind() -> None:
    form = SampleForm()
    assert "form-select" in render("{% field form.kind %}", form=form)
    assert "form-check-input" in render("{% field form.is_loud %}", form=form)
    choices = render("{% field form.grants %}", form=SampleForm({"grants": ["I"]}))
    assert "<fieldset" in choices
    assert choices.count('type="checkbox"') == 2
    assert choices.count("checked") == 1
    assert 'for="id_grants_1"' in choices


def test_field_hands_attributes_on() -> None:
    html = render('{% field form.name autocomplete="off" hx_get="/x" label="Name" %}', form=SampleForm())
    assert 'autocomplete="off"' in html
    assert 'hx-get="/x"' in html


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


@pytest.mark.parametrize("path", sorted((settings.BASE_DIR / "templates").rglob("*.html")), ids=lambda p: p.name)
def test_templates_obey_the_content_security_policy(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)", text), "inline script"
    assert not re.search(r"<style", text), "inline style"
    assert not re.search(r"\sstyle=", text), "style attribute"
    assert not re.search(r"\son[a-z]+=|hx-on", text), "event attribute"
    assert "js:" not in text
