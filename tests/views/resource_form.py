"""What a browser sends for a resource, and a connection test without a network, which tests.looks does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.urls import reverse

from accessmgmt.domain.targets import Rung, RungState
from accessmgmt.models import Resource
from accessmgmt.services.targets import connection_test
from devstack.certs import CertificateAuthority

SECRET = "s3cret-Admin-Passw0rd"
CREATE = reverse("accessmgmt:resource-create")
TEST_UNSAVED = reverse("accessmgmt:resource-test-unsaved")
LIST = reverse("accessmgmt:resource-list")
HTMX = {"HTTP_HX_REQUEST": "true"}


@cache
def authority() -> CertificateAuthority:
    return CertificateAuthority("Company CA")


def ca_pem() -> str:
    return authority().client("portal").ca_pem


def form_of(resource: Resource | None = None, **changes: Any) -> dict[str, Any]:
    """Return what a browser sends for a resource; secrets are empty, as in a form that was just opened."""
    data = {
        "name": "postgres-production",
        "description": "",
        "host": "db1.internal.company.net",
        "port": "5432",
        "database_name": "production",
        "username": "portal_admin",
        "password": "",
        "ssl_mode": "",
        "tls_root_cert": "",
        "tls_cert_file": "",
        "tls_key_file": "",
        "max_connections": "",
        "min_connections": "",
        "primary": "",
    }
    if resource is None:
        data["password"] = SECRET
    else:
        data |= {
            name: str(getattr(resource, name) or "")
            for name in ("name", "host", "port", "database_name", "username", "ssl_mode", "tls_root_cert")
        }
        data["resource"] = str(resource.pk)
    return {**data, **changes}


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> list[Resource]:
    """Replace the network edge; return what was tested."""
    seen: list[Resource] = []

    def run(*, actor: Any, resource: Resource, on_rung: Callable[[list[Rung]], None]) -> list[Rung]:
        seen.append(resource)
        rungs = [
            Rung("name resolves", RungState.PASSED, "db1 is 10.0.0.1", elapsed_ms=3.2),
            Rung("port answers", RungState.FAILED, "connection refused", fix="sudo ufw allow 5432/tcp"),
        ]
        on_rung(rungs)
        return rungs

    monkeypatch.setattr(connection_test, "test_connection", run)
    return seen
