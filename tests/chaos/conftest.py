"""Each test is an installation of its own: the servers are shared, and what others left there is none of its roles."""

from __future__ import annotations

import secrets

import pytest
from django.conf import settings


@pytest.fixture(autouse=True)
def _own_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PORTAL_INSTALLATION_ID", secrets.token_hex(6))
