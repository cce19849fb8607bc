"""A ready PgBouncer for one resource: shown, copied, downloaded. It holds no secret."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accessmgmt.domain.pgbouncer import PoolFile, Pooling, pgbouncer_files
from accessmgmt.models import Resource
from accessmgmt.views.permissions import UserRequest, auditor_required
from accessmgmt.views.recorded import record_downloaded


@auditor_required
@require_safe
def pgbouncer(request: UserRequest, pk: int) -> HttpResponse:
    """Show the three texts of a resource; `?download=<file name>` gives one as a file."""
    resource = get_object_or_404(Resource, pk=pk)
    files = _files(resource)
    wanted = request.GET.get("download")
    if wanted is None:
        return render(request, "pgbouncer/page.html", {"resource": resource, "files": files})
    text = files.get(wanted)
    if text is None:
        raise Http404("There is no such file.")
    record_downloaded(request, file=text.name, of=resource.name)
    response = HttpResponse(text.text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{text.name}"'
    return response


def _files(resource: Resource) -> dict[str, PoolFile]:
    pooling = Pooling(
        name=resource.name,
        host=resource.host,
        port=resource.port,
        database=resource.database_name,
        ssl_mode=resource.ssl_mode,
        has_root_certificate=bool(resource.tls_root_cert),
        max_connections=resource.max_connections,
        min_connections=resource.min_connections,
    )
    files = pgbouncer_files(pooling)
    if resource.tls_root_cert:
        ca = PoolFile("server-ca.pem", "/etc/pgbouncer/server-ca.pem", resource.tls_root_cert.strip() + "\n")
        files = (*files, ca)
    return {file.name: file for file in files}
