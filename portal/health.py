"""Liveness and readiness for load balancers and the demo runner."""

from __future__ import annotations

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from accessmgmt.services.encryption import unreadable_count


@login_not_required
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process serves requests."""
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the portal's database answers.

    A missing Redis, and secrets that cannot be decrypted (counted once an hour), are named but do not make it unready.
    """
    checks = {"database": _database_answers(), "redis": _redis_answers()}
    return JsonResponse(
        {
            "status": "ok" if checks["database"] else "unready",
            "checks": checks,
            "unreadable_secrets": _unreadable_secrets() if checks["database"] else None,
        },
        status=200 if checks["database"] else 503,
    )


def _unreadable_secrets() -> int | None:
    try:
        return unreadable_count()
    except DatabaseError:  # the tables are not there yet
        return None


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
