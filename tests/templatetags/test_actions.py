"""Forms that do something at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from django.conf import settings
from django.template import Context, Template, TemplateSyntaxError
from django.urls import NoReverseMatch

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))


def form_of(text: str, **context: object) -> Tag:
    html = Template("{% load actions %}" + text).render(Context({"csrf_token": "the-token", **context}))
    form = BeautifulSoup(html, "html.parser").form
    assert form is not None
    return form


def test_a_form_posts_without_javascript_where_htmx_posts() -> None:
    form = form_of(
        '{% act "user-edit" 7 target="#row" class="x" hx_indicator="#busy" novalidate=True %}<b>Go</b>{% endact %}'
    )
    assert form["method"] == "post"
    assert form["action"] == form["hx-post"] == "/users/7/edit"
    assert (form["hx-target"], form["hx-swap"], form["hx-indicator"]) == ("#row", "outerHTML", "#busy")
    assert (form["class"], form["novalidate"]) == (["x"], "")
    assert form.select_one("input[name=csrfmiddlewaretoken]")["value"] == "the-token"  # type: ignore[index]
    assert form.b is not None


def test_a_form_without_target_leaves_htmx_out() -> None:
    form = form_of('{% act "logout" %}{% endact %}')
    assert not [name for name in form.attrs if name.startswith("hx-")]


def test_a_question_says_what_it_is_about_and_escapes_names() -> None:
    form = form_of(
        '{% act "logout" %}{% ask "Release" name label="Release" %} The {{ name }} goes. {% endask %}{% endact %}',
        name='<script>"',
    )
    question = form.template
    assert question is not None
    assert question["data-title"] == 'Release <script>"?'
    assert question["data-label"] == "Release"
    assert question.decode_contents() == 'The &lt;script&gt;" goes.'
    assert "<script" not in str(form)


def test_a_question_has_a_label() -> None:
    with pytest.raises((TemplateSyntaxError, TypeError)):
        form_of('{% act "logout" %}{% ask "Really" %}x{% endask %}{% endact %}')


def test_a_form_leads_to_a_page_that_exists() -> None:
    with pytest.raises(NoReverseMatch):
        form_of('{% act "no-such-page" %}{% endact %}')


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_template_writes_out_what_act_says(path: Path) -> None:
    for form in re.findall(r"<form\b[^>]*>", path.read_text()):
        assert "hx-post" not in form
        assert "{% url" not in form or 'method="post"' not in form
