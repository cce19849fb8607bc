"""The application's configuration."""

from django.apps import AppConfig
from django.conf import settings

from accessmgmt.domain.ttl import allow_shorter


class AccessmgmtConfig(AppConfig):
    """Registers the application with Django."""

    name = "accessmgmt"
    verbose_name = "Access management"

    def ready(self) -> None:
        """Hand the one setting to the domain that it cannot read itself."""
        allow_shorter(settings.PORTAL_SHORTEST_TTL_SECONDS)
