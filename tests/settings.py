"""The portal's own settings, on a PostgreSQL server that this process starts itself."""

import atexit
import os

from cryptography.fernet import Fernet

from devstack.kept_servers import kept_place
from devstack.pytest_servers import ensure_portal_database
from devstack.redis import RedisServer
from devstack.static_files import collect_static_files
from devstack.workspace import make_workspace


def start_redis() -> str:
    """Start a Redis for this process and return its URL; it stops at exit, unless servers are kept."""
    place = kept_place()
    server = RedisServer((place or make_workspace("tests-redis")) / "redis", outlives=place is not None).start()
    if place is None:
        atexit.register(server.stop)
    server.flush()
    return server.url()


os.environ.setdefault("PORTAL_SECRET_KEY", "only-for-tests-" + "x" * 50)
os.environ.setdefault("PORTAL_ENCRYPTION_KEYS", Fernet.generate_key().decode())
os.environ.setdefault("PORTAL_INSTALLATION_ID", "0123456789ab")
os.environ.setdefault("PORTAL_INSECURE_HTTP", "1")
os.environ["REDIS_URL"] = start_redis()
os.environ["DATABASE_URL"] = ensure_portal_database()
os.environ["PORTAL_STATIC_ROOT"] = str(collect_static_files())

from portal.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
