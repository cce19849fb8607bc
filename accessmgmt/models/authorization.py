"""A named permission set."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from accessmgmt.domain.permissions import PermissionSet, parse_permissions


class Authorization(models.Model):
    """One row is one named permission set. `permissions` keeps the guide's JSON as it was said, order included."""

    name = models.CharField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    resource_type = models.CharField(max_length=20, default="postgres", editable=False)
    permissions = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(Lower("name"), name="authorization_name_once_whatever_its_case"),
            models.CheckConstraint(condition=Q(resource_type="postgres"), name="authorization_resource_type_postgres"),
            models.CheckConstraint(
                condition=Q(permissions__has_keys=["grants", "schemas", "tables"]),
                name="authorization_permissions_complete",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def permission_set(self) -> PermissionSet:
        """The canonical form of the permissions."""
        return parse_permissions(self.permissions)
