"""Forms that do something at once: they post by htmx where there is JavaScript, ask first where that is due.

    {% act "grant-release" grant.pk target="closest .grant-card" %}
      {% ask "Release" grant.endpoint label="Release" %}Your sessions are cut at once.{% endask %}
      <button class="btn" type="submit">Release</button>
    {% endact %}

Without JavaScript the form posts all the same, without the question.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.forms.utils import flatatt
from django.template import Context
from django.template.defaulttags import CsrfTokenNode
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_block_tag(takes_context=True)
def act(
    context: Context,
    content: SafeString,
    name: str,
    *arguments: object,
    target: str = "",
    swap: str = "outerHTML",
    **options: Any,
) -> SafeString:
    """Write a form that posts to a URL of the portal: its name, then its arguments.

    With `target`, the selector of what the answer takes the place of (`swap`: how), htmx sends it. Any other option
    becomes an attribute of the form: underscores become hyphens, True a bare one.
    """
    url = reverse(f"accessmgmt:{name}", args=arguments)
    attributes = {"method": "post", "action": url}
    if target:
        attributes |= {"hx-post": url, "hx-target": target, "hx-swap": swap}
    attributes |= {option.replace("_", "-"): value for option, value in options.items()}
    return format_html("<form{}>{}{}</form>", flatatt(attributes), CsrfTokenNode().render(context), content)


@register.simple_block_tag
def ask(content: SafeString, *title: object, label: str) -> SafeString:
    """Have the form around it asked for first: the words of `title`, then the text; `label` stands on the button."""
    return format_html(
        '<template data-question data-title="{}?" data-label="{}">{}</template>',
        " ".join(str(word) for word in title),
        label,
        mark_safe(content.strip()),  # noqa: S308 - what the template engine has escaped
    )
