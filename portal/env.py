"""The portal's environment variables, each read once and in one place. docs/operations.md lists them."""

from __future__ import annotations

from pathlib import Path

import environ

from accessmgmt.domain.client_address import read_proxies

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

DEBUG: bool = env.bool("PORTAL_DEBUG", default=False)
SECRET_KEY: str = env.str("PORTAL_SECRET_KEY")
AUDIT_KEY: str = env.str("PORTAL_AUDIT_KEY", default=f"audit:{SECRET_KEY}")
AUDIT_CHECKPOINTS: str = env.str("PORTAL_AUDIT_CHECKPOINTS", default="")
ENCRYPTION_KEYS: list[str] = env.list("PORTAL_ENCRYPTION_KEYS")
TAG_KEY: str = env.str("PORTAL_TAG_KEY", default="") or f"tag:{AUDIT_KEY}"
INSTALLATION_ID: str = env.str("PORTAL_INSTALLATION_ID")
ALLOWED_HOSTS: list[str] = env.list("PORTAL_ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
BASE_URL: str = env.str("PORTAL_BASE_URL", default="http://localhost:8000")
IS_HTTP_INSECURE: bool = env.bool("PORTAL_INSECURE_HTTP", default=False)
IS_BEHIND_TLS_PROXY: bool = env.bool("PORTAL_BEHIND_TLS_PROXY", default=False)
TRUSTED_PROXIES = read_proxies(env.list("PORTAL_TRUSTED_PROXIES", default=[]))
IS_HSTS_PRELOADED: bool = env.bool("PORTAL_HSTS_PRELOAD", default=False)
IS_ROLE_NAME_OPAQUE: bool = env.bool("PORTAL_OPAQUE_ROLE_NAMES", default=False)
SHORTEST_TTL_SECONDS: int = env.int("PORTAL_SHORTEST_TTL_SECONDS", default=60)
ENDING_WORKERS_A_RESOURCE: int = env.int("PORTAL_ENDING_WORKERS_A_RESOURCE", default=2)
SILENT_RESOURCES_AT_ONCE: int = env.int("PORTAL_SILENT_RESOURCES_AT_ONCE", default=16)
LOOKS_AT_ONCE: int = env.int("PORTAL_LOOKS_AT_ONCE", default=8)
GRANTS_A_PERSON_AND_ENDPOINT: int = env.int("PORTAL_GRANTS_A_PERSON_AND_ENDPOINT", default=10)
GRANTS_WINDOW_SECONDS: int = env.int("PORTAL_GRANTS_WINDOW_SECONDS", default=600)
DATABASE_URL: str = env.str("DATABASE_URL")
OWNER_DATABASE_URL: str = env.str("PORTAL_OWNER_DATABASE_URL", default="")
STATIC_ROOT = Path(env.str("PORTAL_STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
REDIS_URL: str = env.str("REDIS_URL")
LOG_LEVEL: str = env.str("PORTAL_LOG_LEVEL", default="INFO")
