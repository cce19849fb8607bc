"""The application's configuration."""

from django.apps import AppConfig


class AccessmgmtConfig(AppConfig):
    """Registers the application with Django."""

    name = "accessmgmt"
    verbose_name = "Access management"
