"""The Django project: settings, URLs, Celery application, middleware."""

from portal.celery import application as celery_application

__all__ = ("celery_application",)
