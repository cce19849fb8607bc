"""A look at a target that somebody asked for."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.looks import LIVE_LOOK_STATES, LookKind, LookState
from accessmgmt.domain.targets import Rung, rung_from_json
from accessmgmt.models.fields import EncryptedTextField

LIVE = Q(state__in=[state.value for state in LIVE_LOOK_STATES])


class TargetLookQuerySet(models.QuerySet["TargetLook"]):
    """Filters that compose."""

    def live(self) -> TargetLookQuerySet:
        """Looks that wait for a worker, or that one is at."""
        return self.filter(LIVE)

    def running(self) -> TargetLookQuerySet:
        """Looks that a worker is at."""
        return self.filter(state=LookState.RUNNING)

    def unleased(self) -> TargetLookQuerySet:
        """Rows that no worker holds now."""
        return self.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=Now()))


class TargetLook(models.Model):
    """One row is one look at a server that a person asked for: a worker does it, the page follows it.

    `resource` is empty where what stands in a form is tested. `order` says what to look at beside the resource, without
    a secret; the secrets of a form are in `secrets`, encrypted, and erased when the look is over. `rungs` grows while a
    connection test goes on. A worker that is at the look holds its lease: `lease_token` until `lease_until`; whatever
    happens, the look is over at `deadline_at`. `wake_at` is when the sweep may wake a worker for it again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in LookKind])
    resource = models.ForeignKey("Resource", on_delete=models.CASCADE, related_name="looks", null=True, blank=True)
    asked_by = models.ForeignKey("User", on_delete=models.CASCADE, related_name="looks")
    order = models.JSONField(default=dict)
    secrets = EncryptedTextField(blank=True)

    state = models.CharField(
        max_length=8, choices=[(state.value, state.value) for state in LookState], default=LookState.QUEUED
    )
    asked_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    rungs = models.JSONField(default=list)
    result = models.JSONField(default=dict)
    error = models.JSONField(null=True, blank=True)

    attempts = models.PositiveIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    wake_at = models.DateTimeField(default=timezone.now)

    objects = TargetLookQuerySet.as_manager()

    class Meta:
        ordering = ("-asked_at",)
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=[kind.value for kind in LookKind]), name="look_kind_known"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in LookState]), name="look_state_known"
            ),
            models.CheckConstraint(
                condition=Q(resource__isnull=True, kind=LookKind.UNSAVED)
                | Q(resource__isnull=False) & ~Q(kind=LookKind.UNSAVED),
                name="look_has_a_resource_unless_unsaved",
            ),
            models.CheckConstraint(
                condition=(LIVE & Q(finished_at__isnull=True)) | (~LIVE & Q(finished_at__isnull=False)),
                name="look_that_is_over_has_its_time",
            ),
            models.CheckConstraint(condition=LIVE | Q(secrets=""), name="look_that_is_over_has_no_secrets"),
            models.CheckConstraint(
                condition=~Q(state=LookState.RUNNING) | Q(lease_token__isnull=False, deadline_at__isnull=False),
                name="look_that_runs_has_a_lease",
            ),
            models.UniqueConstraint(fields=["resource", "kind"], condition=LIVE, name="look_once_a_resource_and_kind"),
            models.UniqueConstraint(
                fields=["asked_by"], condition=LIVE & Q(resource__isnull=True), name="look_once_a_person_unsaved"
            ),
            models.UniqueConstraint(
                fields=["resource"], condition=Q(state=LookState.RUNNING), name="look_at_a_resource_one_at_a_time"
            ),
        )
        indexes = (
            # The sweep, once a second: what is live, the oldest first.
            models.Index(fields=["asked_at"], condition=LIVE, name="look_live"),
            # A resource's page: the newest of a kind.
            models.Index(fields=["resource", "kind", "-asked_at"], name="look_newest"),
        )

    def __str__(self) -> str:
        return f"{self.kind} look {self.pk}"

    @property
    def is_live(self) -> bool:
        """Whether it is still on its way."""
        return self.state in LIVE_LOOK_STATES

    @property
    def found_rungs(self) -> list[Rung]:
        """The rungs of a connection test that are known by now."""
        return [rung_from_json(value) for value in self.rungs]
