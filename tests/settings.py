"""The portal's own settings, on a PostgreSQL server that this process starts itself."""

import os

from cryptography.fernet import Fernet

from devstack.pytest_servers import ensure_portal_database

os.environ.setdefault("PORTAL_SECRET_KEY", "only-for-tests-" + "x" * 50)
os.environ.setdefault("PORTAL_ENCRYPTION_KEYS", Fernet.generate_key().decode())
os.environ.setdefault("PORTAL_INSTALLATION_ID", "0123456789ab")
os.environ.setdefault("PORTAL_INSECURE_HTTP", "1")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")  # nobody listens there: a lost broker is the normal case
os.environ["DATABASE_URL"] = ensure_portal_database()

from portal.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
