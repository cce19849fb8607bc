"""Named sets of people, and what they are wired to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower


class Group(models.Model):
    """One row is one group. Being wired to an endpoint means that its members may activate it."""

    name = models.CharField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    endpoints: models.ManyToManyField[models.Model, GroupEndpoint] = models.ManyToManyField(
        "Endpoint", through="GroupEndpoint", related_name="groups"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="group_name_once_whatever_its_case"),)

    def __str__(self) -> str:
        return self.name


class GroupMember(models.Model):
    """One row makes one e-mail address a member of a group, whether or not that person has signed in yet."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="members")
    email = models.EmailField(max_length=254)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("email",)
        constraints = (
            models.UniqueConstraint(fields=("group", "email"), name="group_member_once"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="group_member_email_lower_case"),
        )
        indexes = (
            # "Which groups am I in?", asked by every page of a member.
            models.Index(fields=("email", "group"), name="group_member_by_email"),
        )

    def __str__(self) -> str:
        return self.email


class GroupEndpoint(models.Model):
    """One row is one wire: members of the group may activate the endpoint."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="wires")
    endpoint = models.ForeignKey("Endpoint", on_delete=models.PROTECT, related_name="wires")
    wired_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("group", "endpoint")
        constraints = (models.UniqueConstraint(fields=("group", "endpoint"), name="group_endpoint_once"),)

    def __str__(self) -> str:
        return f"{self.group_id} - {self.endpoint_id}"
