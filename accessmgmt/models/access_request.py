"""Asking for access."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.states import RequestState
from accessmgmt.domain.ttl import LONGEST_SECONDS, ttl_in_words


class AccessRequestQuerySet(models.QuerySet["AccessRequest"]):
    """Filters that compose."""

    def pending(self) -> AccessRequestQuerySet:
        """Requests that wait for a decision."""
        return self.filter(state=RequestState.PENDING)

    def decided(self) -> AccessRequestQuerySet:
        """Requests that are over, one way or another."""
        return self.exclude(state=RequestState.PENDING)


class AccessRequest(models.Model):
    """One row is one person's request for one endpoint. Only a pending one changes.

    `resource`, `permissions` and `permissions_digest` are what the endpoint gave at that time. The approver
    attests that database, that digest and `approved_seconds`, and exactly that is granted.
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
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        "User", on_delete=models.PROTECT, related_name="decided_requests", null=True, blank=True
    )
    comment = models.TextField(blank=True)
    approved_seconds = models.PositiveIntegerField(null=True, blank=True)

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
                condition=~Q(state=RequestState.APPROVED)
                | Q(approved_seconds__isnull=False, decided_by__isnull=False, decided_at__isnull=False),
                name="access_request_approval_complete",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | ~Q(state__in=[RequestState.APPROVED, RequestState.DENIED])
                | ~Q(decided_by=models.F("user")),
                name="access_request_not_decided_by_its_own_person",
            ),
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
