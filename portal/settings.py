"""Django settings: one file for every environment; what differs comes from portal.env."""

from __future__ import annotations

import django_stubs_ext
import environ
from csp.constants import NONE, SELF

from accessmgmt.domain.passwords import SHORTEST_PASSWORD
from portal import env

django_stubs_ext.monkeypatch()

BASE_DIR = env.BASE_DIR
DEBUG = env.DEBUG
SECRET_KEY = env.SECRET_KEY
ALLOWED_HOSTS = env.ALLOWED_HOSTS
BASE_URL = env.BASE_URL

INSTALLED_APPS = [
    "accessmgmt",  # before Django's own: its commands for accounts take the place of theirs
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",  # the middleware answers in every server, one for development included
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
]

MIDDLEWARE = [
    "portal.middleware.TooLongMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "portal.assets.StaticFilesMiddleware",
    "portal.middleware.PageCompressionMiddleware",
    "portal.middleware.AnswerHeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.TimeZoneMiddleware",
    "portal.middleware.AccessErrorMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
ASGI_APPLICATION = "portal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.shell",
            ],
        },
    },
]

DATABASES = {
    "default": {
        **environ.Env.db_url_config(env.DATABASE_URL),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {
            "application_name": "access-portal-web",
            "connect_timeout": 5,
            "options": "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accessmgmt.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": SHORTEST_PASSWORD},
    },
    {"NAME": "accessmgmt.services.people.passwords.StrengthValidator"},
]
LOGIN_URL = "accessmgmt:login"
LOGIN_REDIRECT_URL = "accessmgmt:my-access"
LOGOUT_REDIRECT_URL = "accessmgmt:login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

NODE_MODULES = BASE_DIR / "node_modules"
ICONS_DIR = NODE_MODULES / "@tabler" / "icons" / "icons"
STATIC_URL = "/static/"
STATIC_ROOT = env.STATIC_ROOT
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder", "portal.assets.PackageFinder"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "portal.assets.BundledStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}
IS_SECURE = not env.IS_HTTP_INSECURE
SECURE_SSL_REDIRECT = IS_SECURE and not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.IS_BEHIND_TLS_PROXY else None
SECURE_HSTS_SECONDS = 31_536_000 if IS_SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_SECURE
# Browsers ship the preload list, and a host stays in it for years: whoever wants that says so. Django's check insists.
SECURE_HSTS_PRELOAD = IS_SECURE and env.IS_HSTS_PRELOADED
SILENCED_SYSTEM_CHECKS = ["security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
PERMISSIONS_POLICY = ", ".join(
    f"{power}=()"
    for power in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "encrypted-media",
        "fullscreen",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "publickey-credentials-get",
        "screen-wake-lock",
        "usb",
        "xr-spatial-tracking",
    )
)
SESSION_COOKIE_SECURE = IS_SECURE
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SECURE = IS_SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "accessmgmt.views.recorded.foreign_form"
X_FRAME_OPTIONS = "DENY"

# What the application reads; accessmgmt never imports portal.
PORTAL_TRUSTED_PROXIES = env.TRUSTED_PROXIES
PORTAL_AUDIT_KEY = env.AUDIT_KEY
PORTAL_OWNER_DATABASE = environ.Env.db_url_config(env.OWNER_DATABASE_URL) if env.OWNER_DATABASE_URL else None
PORTAL_AUDIT_CHECKPOINTS = env.AUDIT_CHECKPOINTS
PORTAL_ENCRYPTION_KEYS = env.ENCRYPTION_KEYS
PORTAL_INSTALLATION_ID = env.INSTALLATION_ID
PORTAL_TAG_KEY = env.TAG_KEY
PORTAL_OPAQUE_ROLE_NAMES = env.IS_ROLE_NAME_OPAQUE
PORTAL_SHORTEST_TTL_SECONDS = env.SHORTEST_TTL_SECONDS
PORTAL_LEASE_SECONDS = 20
PORTAL_APPLY_BUDGET_SECONDS = 10
PORTAL_LOOK_SECONDS = 60  # the longest that a look which somebody asked for may take in all
PORTAL_APPLY_GIVE_UP_SECONDS = 600
PORTAL_REQUEST_LAPSE_SECONDS = 7 * 86_400
PORTAL_CAPABILITY_KEEP_DAYS = 7  # how long a capability role stays on a target after its last grant
PORTAL_ENDING_WORKERS_A_RESOURCE = env.ENDING_WORKERS_A_RESOURCE
PORTAL_SILENT_RESOURCES_AT_ONCE = env.SILENT_RESOURCES_AT_ONCE
PORTAL_LOOKS_AT_ONCE = env.LOOKS_AT_ONCE
PORTAL_GRANTS_A_PERSON_AND_ENDPOINT = env.GRANTS_A_PERSON_AND_ENDPOINT
PORTAL_GRANTS_WINDOW_SECONDS = env.GRANTS_WINDOW_SECONDS

# What one request may hold: a list of members is the longest text, a form has some thirty fields.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
DATA_UPLOAD_MAX_NUMBER_FILES = 10
FILE_UPLOAD_HANDLERS = ["portal.uploads.BoundedUploadHandler"]

REDIS_URL = env.REDIS_URL

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "portal.log.SecretFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.LOG_LEVEL},
    "loggers": {"botocore": {"level": "WARNING"}},
}
