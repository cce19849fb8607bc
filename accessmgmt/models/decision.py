"""Deciding on a request for access."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accessmgmt.domain.states import Verdict
from accessmgmt.domain.ttl import LONGEST_SECONDS


class Decision(models.Model):
    """One row is one person's vote on one access request. It stands as long as the request does.

    `approved_seconds` is for how long, of an approval only. `asker` is the person of the request, copied here so that
    the database itself refuses a vote on one's own request: a foreign key over (request, asker) keeps it the same
    person. Votes are added, changed and removed only while the request is pending, by a trigger (see migration 0013).
    """

    # decision_once_a_person is the index that finds the votes of a request; nothing looks for votes by their asker.
    request = models.ForeignKey("AccessRequest", on_delete=models.PROTECT, related_name="decisions", db_index=False)
    asker = models.ForeignKey("User", on_delete=models.PROTECT, related_name="+", db_index=False)
    decider = models.ForeignKey("User", on_delete=models.PROTECT, related_name="decisions")
    verdict = models.CharField(max_length=10, choices=[(v.value, v.value) for v in Verdict])
    decided_at = models.DateTimeField()
    comment = models.TextField(blank=True)
    approved_seconds = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("decided_at", "pk")
        constraints = (
            models.UniqueConstraint(fields=("request", "decider"), name="decision_once_a_person"),
            models.CheckConstraint(condition=~Q(decider=F("asker")), name="decision_not_by_the_asker"),
            models.CheckConstraint(condition=Q(verdict__in=[v.value for v in Verdict]), name="decision_verdict_known"),
            models.CheckConstraint(
                condition=Q(verdict=Verdict.APPROVED, approved_seconds__isnull=False)
                | (~Q(verdict=Verdict.APPROVED) & Q(approved_seconds__isnull=True)),
                name="decision_seconds_for_approvals",
            ),
            models.CheckConstraint(
                condition=Q(approved_seconds__isnull=True)
                | Q(approved_seconds__gte=1, approved_seconds__lte=LONGEST_SECONDS),
                name="decision_seconds_in_range",
            ),
        )

    def __str__(self) -> str:
        return f"{self.verdict} by {self.decider}"
