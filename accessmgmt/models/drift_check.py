"""What the newest drift check of a resource found."""

from __future__ import annotations

from django.db import models

from accessmgmt.models.resource import Resource


class DriftCheck(models.Model):
    """One row is the newest check of one resource. `findings` is a list of differences, each with the mending SQL."""

    resource = models.OneToOneField(Resource, on_delete=models.CASCADE, related_name="drift_check")
    checked_at = models.DateTimeField()
    took_ms = models.FloatField()
    findings = models.JSONField(default=list)
    error = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ("resource",)

    def __str__(self) -> str:
        return f"drift of {self.resource_id}"
