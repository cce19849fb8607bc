"""What is remembered of a server that does not answer."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accessmgmt.domain.states import Work


class TargetSilence(models.Model):
    """One row is one kind of work that a resource's server did not answer: since when, and when it is asked again.

    No row means that it answered last. Kinds have rows of their own, because they need different servers of a
    cluster, and because nothing that applies or compares may hold up an ending (services/availability.py).
    """

    resource = models.ForeignKey("Resource", on_delete=models.CASCADE, related_name="silences")
    work = models.CharField(max_length=8, choices=[(work.value, work.value) for work in Work])
    since = models.DateTimeField()
    tries = models.PositiveIntegerField(default=1)
    ask_again_at = models.DateTimeField()
    what = models.TextField()
    why = models.TextField(blank=True)

    class Meta:
        ordering = ("resource", "since")
        constraints = (
            models.UniqueConstraint(fields=["resource", "work"], name="silence_once_a_resource_and_work"),
            models.CheckConstraint(condition=Q(work__in=[work.value for work in Work]), name="silence_work_known"),
        )

    def __str__(self) -> str:
        return f"silence of {self.resource_id} to {self.work}"
