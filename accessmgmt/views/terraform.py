"""The set-up as Terraform HCL: to read, to copy, to download."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from accessmgmt.domain.hcl.render import Export
from accessmgmt.domain.hcl.render import render as render_hcl
from accessmgmt.models import Group, Resource
from accessmgmt.selectors.terraform import Scope, document_for, scope_choices
from accessmgmt.views.lists import render_part
from accessmgmt.views.permissions import UserRequest, admin_required
from accessmgmt.views.query import clean_pk
from accessmgmt.views.recorded import record_downloaded

MOST_SHOWN_LINES = 3_000
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
TOKEN = re.compile(
    r"(?P<comment>#.*)"
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<keyword>\b(?:resource|variable|terraform|required_providers|jsonencode|file|true|false)\b)"
    r"|(?P<number>\b\d+\b)"
    r"|(?P<name>\b[a-z_]+(?=\s*=))"
)
Token = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the page's form asks for."""

    scope: Scope
    with_provider_block: bool

    @property
    def query(self) -> str:
        """The same wish as the query of a URL."""
        return f"?scope={self.scope}&provider={'yes' if self.with_provider_block else 'no'}"


@admin_required
@require_safe
def export(request: UserRequest) -> HttpResponse:
    """Show the HCL with what it leaves out."""
    wish = _wish(request)
    result = _export(wish)
    lines = result.text.splitlines()
    resources, groups = scope_choices()
    context = {
        "wish": wish,
        "export": result,
        "lines": [list(_tokens(line)) for line in lines[:MOST_SHOWN_LINES]],
        "line_count": len(lines),
        "hidden_lines": max(0, len(lines) - MOST_SHOWN_LINES),
        "resources": resources,
        "groups": groups,
        "is_empty": not Resource.objects.exists() and not groups,
    }
    return render_part(request, "terraform/page.html", "terraform/page.html#export", context)


@admin_required
@require_safe
def download(request: UserRequest) -> HttpResponse:
    """Give the .tf file alone."""
    wish = _wish(request)
    record_downloaded(request, file="access-portal.tf", of=str(wish.scope))
    response = HttpResponse(_export(wish).text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="access-portal.tf"'
    return response


@admin_required
@require_safe
def download_zip(request: UserRequest) -> HttpResponse:
    """Give the .tf file together with the certificates that it reads. The same set-up gives the same bytes."""
    wish = _wish(request)
    record_downloaded(request, file="access-portal.zip", of=str(wish.scope))
    result = _export(wish)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in (("access-portal.tf", result.text), *((f.path, f.content) for f in result.files)):
            entry = zipfile.ZipInfo(path, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content.encode())
    response = HttpResponse(buffer.getvalue(), content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="access-portal.zip"'
    return response


def _wish(request: UserRequest) -> Wish:
    kind, _, text = request.GET.get("scope", "all").partition(":")
    with_provider_block = request.GET.get("provider", "yes") != "no"
    if kind == "all":
        return Wish(Scope(), with_provider_block)
    rows = {"resource": Resource, "group": Group}.get(kind)
    pk = clean_pk(text)
    if rows is None or pk is None or not rows._default_manager.filter(pk=pk).exists():
        raise Http404("There is no such resource or group.")
    return Wish(Scope(kind, pk), with_provider_block)


def _export(wish: Wish) -> Export:
    return render_hcl(document_for(wish.scope), with_provider_block=wish.with_provider_block)


def _tokens(line: str) -> Iterator[Token]:
    """Cut a line into (kind, text); kind is "" for what needs no colour."""
    end = 0
    for match in TOKEN.finditer(line):
        if match.start() > end:
            yield "", line[end : match.start()]
        yield str(match.lastgroup), match[0]
        end = match.end()
    if end < len(line):
        yield "", line[end:]
