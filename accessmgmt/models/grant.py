"""One person's time-boxed access."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.orders import EndOrder, GrantOrder, LoginRef, SetOrder
from accessmgmt.domain.permissions import PermissionSet, Privilege, parse_permissions
from accessmgmt.domain.states import LIVE_GRANT_STATES, EndReason, GrantState
from accessmgmt.domain.ttl import LONGEST_SECONDS
from accessmgmt.models.fields import EncryptedTextField
from accessmgmt.models.installation import this_installation

HELD_STATES = (GrantState.QUEUED, GrantState.APPLYING, GrantState.ACTIVE)


class GrantQuerySet(models.QuerySet["Grant"]):
    """Filters that compose."""

    def active(self) -> GrantQuerySet:
        """Grants whose login works."""
        return self.filter(state=GrantState.ACTIVE)

    def held(self) -> GrantQuerySet:
        """Grants that a person has or is about to have."""
        return self.filter(state__in=HELD_STATES)

    def live(self) -> GrantQuerySet:
        """Grants for which a role may exist on a target."""
        return self.filter(state__in=LIVE_GRANT_STATES)

    def due(self) -> GrantQuerySet:
        """Active grants whose time is over."""
        return self.filter(state=GrantState.ACTIVE, expires_at__lte=Now())

    def overdue(self) -> GrantQuerySet:
        """Grants that should be over for more than a minute and are not ended: counted, shown in red, never hidden."""
        late = timezone.now() - timedelta(seconds=60)
        return self.filter(
            Q(state=GrantState.ENDING, end_requested_at__lte=late) | Q(state=GrantState.ACTIVE, expires_at__lte=late)
        )

    def unleased(self) -> GrantQuerySet:
        """Rows that no worker holds now."""
        return self.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=Now()))


class Grant(models.Model):
    """One row is one person's access to one endpoint: what workers apply and expire.

    `role_name` is stored before the role exists on the target. `permissions` is a copy: what was approved
    or activated is what is granted, whatever is edited later. A worker that works on the row holds its lease:
    `lease_token` until `lease_until`. `expires_at` is VALID UNTIL as the target's clock gave it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("User", on_delete=models.PROTECT, related_name="grants")
    endpoint = models.ForeignKey("Endpoint", on_delete=models.PROTECT, related_name="grants")
    resource = models.ForeignKey("Resource", on_delete=models.PROTECT, related_name="grants")
    request = models.OneToOneField(
        "AccessRequest", on_delete=models.PROTECT, related_name="grant", null=True, blank=True
    )
    permissions = models.JSONField()
    permissions_digest = models.CharField(max_length=64)
    ttl_seconds = models.PositiveIntegerField()

    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in GrantState], default=GrantState.QUEUED)
    end_reason = models.CharField(max_length=12, choices=[(r.value, r.value) for r in EndReason], blank=True)
    ended_by = models.ForeignKey("User", on_delete=models.PROTECT, related_name="ended_grants", null=True, blank=True)

    role_name = models.CharField(max_length=63, unique=True)
    role_oid = models.BigIntegerField(null=True, blank=True)
    system_identifier = models.CharField("cluster that it was applied on", max_length=20, blank=True)
    password = EncryptedTextField(blank=True)

    queued_at = models.DateTimeField(auto_now_add=True)
    applying_at = models.DateTimeField(null=True, blank=True)
    active_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    end_requested_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    refused_at = models.DateTimeField(null=True, blank=True)
    last_error = models.JSONField(null=True, blank=True)
    apply_receipt = models.JSONField(null=True, blank=True)
    end_receipt = models.JSONField(null=True, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        ordering = ("-queued_at",)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[s.value for s in GrantState]), name="grant_state_known"),
            models.CheckConstraint(
                condition=Q(end_reason="") | Q(end_reason__in=[r.value for r in EndReason]),
                name="grant_end_reason_known",
            ),
            models.CheckConstraint(
                condition=Q(ttl_seconds__gte=1, ttl_seconds__lte=LONGEST_SECONDS),
                name="grant_ttl_in_range",
            ),
            models.CheckConstraint(
                condition=~Q(state=GrantState.ACTIVE)
                | Q(expires_at__isnull=False, active_at__isnull=False, role_oid__isnull=False),
                name="grant_active_has_expiry",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[GrantState.ENDING, GrantState.ENDED])
                | (~Q(end_reason="") & Q(end_requested_at__isnull=False)),
                name="grant_end_has_reason",
            ),
            models.CheckConstraint(
                condition=~Q(state=GrantState.ENDED) | Q(ended_at__isnull=False, end_receipt__isnull=False),
                name="grant_ended_has_receipt",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[GrantState.ENDED, GrantState.FAILED]) | Q(password=""),
                name="grant_over_has_no_password",
            ),
            # A double click, or a second browser, gives the same grant, not a second one.
            models.UniqueConstraint(
                fields=("user", "endpoint"), condition=Q(state__in=HELD_STATES), name="grant_held_once"
            ),
        )
        indexes = (
            # The one-second sweep: due rows, and rows that wait for a worker.
            models.Index(fields=("expires_at",), condition=Q(state=GrantState.ACTIVE), name="grant_due"),
            models.Index(
                fields=("next_attempt_at",),
                condition=Q(state__in=[GrantState.QUEUED, GrantState.APPLYING, GrantState.ENDING]),
                name="grant_waiting",
            ),
            # My access and the list of grants, newest first.
            models.Index(fields=("user", "-queued_at"), name="grant_by_user"),
            models.Index(fields=("-queued_at",), name="grant_newest"),
        )

    def __str__(self) -> str:
        return f"grant {self.pk}"

    @property
    def permission_set(self) -> PermissionSet:
        """The canonical permissions of this grant."""
        return parse_permissions(self.permissions)

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to this grant any more."""
        return self.state in {GrantState.ENDED, GrantState.FAILED}

    @property
    def is_overdue(self) -> bool:
        """Whether access should be over for more than a minute and is not proved to be."""
        since = self.end_requested_at if self.state == GrantState.ENDING else self.expires_at
        return (
            self.state in {GrantState.ENDING, GrantState.ACTIVE}
            and since is not None
            and since <= timezone.now() - timedelta(seconds=60)
        )

    @property
    def warns_at(self) -> datetime | None:
        """When its card turns amber: the last 15 minutes or the last tenth of the time, whichever is shorter."""
        if self.expires_at is None:
            return None
        return self.expires_at - timedelta(seconds=min(900, self.ttl_seconds // 10))

    def as_order(self) -> GrantOrder:
        """Return what provisioning needs to make it real."""
        return GrantOrder(self.as_login(), self._as_set(), self.ttl_seconds, self.password)

    def as_end_order(self) -> EndOrder:
        """Return what provisioning needs to end it."""
        return EndOrder(replace(self.as_login(), triggers_before=self._triggers_before()), self._as_set())

    def as_login(self) -> LoginRef:
        """Return the login role by which provisioning knows it."""
        return LoginRef(
            installation=this_installation(),
            grant_id=str(self.pk),
            role_name=self.role_name,
            role_oid=self.role_oid,
            system_identifier=self.system_identifier,
        )

    def _as_set(self) -> SetOrder:
        return SetOrder(this_installation(), self.permission_set)

    def _triggers_before(self) -> tuple[int, ...] | None:
        """Return the triggers that there were before; only a set that lets a person make some has them."""
        if Privilege.TRIGGER not in self.permission_set.grants:
            return None
        found = (self.apply_receipt or {}).get("triggers_before")
        return None if found is None else tuple(found)
