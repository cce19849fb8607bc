"""Asking for access."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.states import RequestState
from accessmgmt.domain.ttl import LONGEST_SECONDS, ttl_in_words
from accessmgmt.models.decision import Decision


class AccessRequestQuerySet(models.QuerySet["AccessRequest"]):
    """Filters that compose."""

    def pending(self) -> AccessRequestQuerySet:
        """Requests that wait for a decision."""
        return self.filter(state=RequestState.PENDING)

    def settled(self) -> AccessRequestQuerySet:
        """Requests that are over, one way or another."""
        return self.exclude(state=RequestState.PENDING)

    def with_decisions(self) -> AccessRequestQuerySet:
        """The same requests with all votes and who gave them at hand, by one query more."""
        return self.prefetch_related(models.Prefetch("decisions", Decision.objects.select_related("decider")))


class AccessRequest(models.Model):
    """One row is one person's request for one endpoint. Only a pending one changes.

    `resource`, `permissions` and `permissions_digest` are what the endpoint gave at that time. Approvers vote in
    `decisions`: an approval attests that database, that digest and its seconds. `granted_seconds` is for how long
    access was given in the end, of an approved request only, and `settled_at` is when it stopped being pending.
    A trigger refuses the state `approved` or `denied` without a vote that says so (see migration 0013).
    """

    user = models.ForeignKey("User", on_delete=models.PROTECT, related_name="access_requests")
    endpoint = models.ForeignKey("Endpoint", on_delete=models.PROTECT, related_name="access_requests")
    resource = models.ForeignKey("Resource", on_delete=models.PROTECT, related_name="access_requests")
    reason = models.TextField()
    duration = models.CharField(max_length=20)
    duration_seconds = models.PositiveIntegerField()
    permissions = models.JSONField()
    permissions_digest = models.CharField(max_length=64)
    state = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in RequestState], default=RequestState.PENDING
    )
    created_at = models.DateTimeField(auto_now_add=True)
    lapses_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    granted_seconds = models.PositiveIntegerField(null=True, blank=True)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RequestState]), name="access_request_state_known"
            ),
            models.CheckConstraint(
                condition=Q(duration_seconds__gte=1, duration_seconds__lte=LONGEST_SECONDS),
                name="access_request_duration_in_range",
            ),
            models.CheckConstraint(
                condition=Q(state=RequestState.PENDING, settled_at__isnull=True)
                | (~Q(state=RequestState.PENDING) & Q(settled_at__isnull=False)),
                name="access_request_settled_when_over",
            ),
            models.CheckConstraint(
                condition=Q(state=RequestState.APPROVED, granted_seconds__isnull=False)
                | (~Q(state=RequestState.APPROVED) & Q(granted_seconds__isnull=True)),
                name="access_request_seconds_when_approved",
            ),
            models.CheckConstraint(
                condition=Q(granted_seconds__isnull=True)
                | Q(granted_seconds__gte=1, granted_seconds__lte=LONGEST_SECONDS),
                name="access_request_granted_in_range",
            ),
            # What a vote refers to, so that it knows whose request it is.
            models.UniqueConstraint(fields=("id", "user"), name="access_request_with_its_person"),
            models.UniqueConstraint(
                fields=("user", "endpoint"), condition=Q(state=RequestState.PENDING), name="access_request_pending_once"
            ),
        )
        indexes = (
            # The inbox: pending first, oldest on top; and the sweep for lapsed ones.
            models.Index(fields=("state", "created_at"), name="access_request_inbox"),
        )

    def __str__(self) -> str:
        return f"request {self.pk}"

    @property
    def permission_set(self) -> PermissionSet:
        """The canonical permissions that were asked for."""
        return parse_permissions(self.permissions)

    @property
    def duration_in_words(self) -> str:
        """The duration asked for, for a sentence."""
        return ttl_in_words(self.duration_seconds)
