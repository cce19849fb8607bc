"""What people activate: a resource, an authorization and a time to live."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from accessmgmt.domain.ttl import LONGEST_SECONDS, ttl_in_words


class Endpoint(models.Model):
    """One row is one endpoint. `ttl` is the text as written, `ttl_seconds` what it means."""

    name = models.CharField(max_length=120, unique=True)
    type = models.CharField(max_length=20, default="direct", editable=False)
    description = models.TextField(blank=True)
    resource = models.ForeignKey("Resource", on_delete=models.PROTECT, related_name="endpoints")
    authorization = models.ForeignKey("Authorization", on_delete=models.PROTECT, related_name="endpoints")
    ttl = models.CharField("time to live", max_length=20)
    ttl_seconds = models.PositiveIntegerField(editable=False)
    is_jit_enabled = models.BooleanField("needs approval", default=False)
    is_requestable = models.BooleanField("anybody may request it", default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(Lower("name"), name="endpoint_name_once_whatever_its_case"),
            models.CheckConstraint(condition=Q(type="direct"), name="endpoint_type_direct"),
            models.CheckConstraint(
                condition=Q(ttl_seconds__gte=1, ttl_seconds__lte=LONGEST_SECONDS),
                name="endpoint_ttl_in_range",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def ttl_in_words(self) -> str:
        """The time to live for a sentence: "8 hours"."""
        return ttl_in_words(self.ttl_seconds)


class EndpointApprover(models.Model):
    """One row lets one e-mail address decide on requests for one endpoint. Admins may always decide."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="approvers")
    email = models.EmailField(max_length=254)

    class Meta:
        ordering = ("email",)
        constraints = (
            models.UniqueConstraint(fields=("endpoint", "email"), name="endpoint_approver_once"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="endpoint_approver_email_lower_case"),
        )

    def __str__(self) -> str:
        return self.email
