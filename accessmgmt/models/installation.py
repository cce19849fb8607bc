"""What this installation knows of itself."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from accessmgmt.domain import names


class Installation(models.Model):
    """The one row of this installation: the identity of the database that its state was last known to be in.

    When the database is another one (a restored backup), the portal only observes until an admin confirms.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    database_identity = models.CharField(max_length=200)
    observing_since = models.DateTimeField(null=True, blank=True)
    observing_reason = models.TextField(blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    confirmed_by = models.ForeignKey("User", on_delete=models.PROTECT, related_name="+", null=True, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="installation_is_one_row"),)

    def __str__(self) -> str:
        return "this installation"


def this_installation() -> names.Installation:
    """Return how this installation signs its roles on targets."""
    return names.Installation(settings.PORTAL_INSTALLATION_ID, settings.PORTAL_TAG_KEY)
