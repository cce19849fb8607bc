"""Loads the guide's "complete production example" and demo people, through the portal's own services."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from accessmgmt.models import Authorization, Endpoint, Group, Resource, User
from accessmgmt.services.people.users import create_user
from accessmgmt.services.setup import authorizations, endpoints, groups, resources

AUTHORIZATIONS = (
    (
        "developer-role",
        "Read and write in public and app",
        ["SELECT", "INSERT", "UPDATE", "DELETE"],
        ["public", "app"],
        ["*"],
    ),
    ("analyst-role", "Read public and analytics", ["SELECT"], ["public", "analytics"], ["*"]),
    (
        "orders-repair",
        "Correct orders and invoices by hand",
        ["SELECT", "UPDATE"],
        ["public"],
        ["orders", "order_items", "invoices"],
    ),
)
ENDPOINTS: tuple[dict[str, Any], ...] = (
    {"name": "postgres-dev-access", "resource": "postgres-production", "authorization": "developer-role", "ttl": "8h"},
    {
        "name": "postgres-analyst-access",
        "resource": "postgres-read-replica",
        "authorization": "analyst-role",
        "ttl": "12h",
    },
    {"name": "postgres-quick-look", "resource": "postgres-read-replica", "authorization": "analyst-role", "ttl": "2m"},
    {
        "name": "postgres-orders-repair",
        "resource": "postgres-production",
        "authorization": "orders-repair",
        "ttl": "1h",
        "is_jit_enabled": True,
        "is_requestable": True,
        "approvers": ["approver@company.com"],
    },
)
GROUPS = (
    ("backend-developers", ["dev1@company.com", "dev2@company.com"], ["postgres-dev-access", "postgres-quick-look"]),
    ("data-analysts", ["analyst1@company.com", "analyst2@company.com"], ["postgres-analyst-access"]),
)
CONNECTION_FIELDS = (
    "host", "port", "database_name", "username", "password", "tls_root_cert", "tls_cert_file", "tls_key_file",
    "aws_region", "aws_secret_name", "aws_access_key_id", "aws_secret_access_key",
)  # fmt: skip


class Command(BaseCommand):
    """`manage.py seed_demo --file facts.json`; run again it updates connection facts and adds what is missing."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file with people and connection facts, as devstack writes it."""
        parser.add_argument("--file", type=Path, required=True, help="JSON with people, primary and replica")

    @transaction.atomic
    def handle(self, *args: object, **options: Any) -> None:
        """Make people, resources, authorizations, endpoints and groups that are not there yet."""
        facts = json.loads(options["file"].read_text())
        for person in facts["people"]:
            self._person(**person)
        admin = User.objects.filter(role=User.Role.ADMIN).earliest("pk")
        primary = self._resource(
            admin,
            "postgres-production",
            facts["primary"],
            ssl_mode="verify-full",
            max_connections=100,
            min_connections=20,
        )
        self._resource(admin, "postgres-read-replica", facts["replica"], ssl_mode="verify-full", primary=primary)
        self._set_up(admin)
        self.stdout.write(f"{User.objects.count()} people, {Endpoint.objects.count()} endpoints")

    def _person(self, email: str, password: str, name: str, is_admin: bool = False, role: str = "") -> None:
        if not User.objects.filter(email=email).exists():
            wanted = User.Role.ADMIN if is_admin else role or User.Role.MEMBER
            create_user(actor=None, email=email, name=name, role=wanted, password=password)

    def _resource(self, admin: User, name: str, facts: dict[str, Any], **fields: Any) -> Resource:
        resource = Resource.objects.filter(name=name).first() or Resource(name=name, **fields)
        for field in CONNECTION_FIELDS:
            setattr(resource, field, facts.get(field, ""))
        resource.use_aws_secrets = facts.get("use_aws_secrets", False)
        resource.full_clean(validate_unique=False, validate_constraints=False)
        return resources.save_resource(actor=admin, resource=resource, is_same_server=True)

    def _set_up(self, admin: User) -> None:
        for name, description, grants, schemas, tables in AUTHORIZATIONS:
            if not Authorization.objects.filter(name=name).exists():
                permissions = {"grants": grants, "schemas": schemas, "tables": tables}
                authorization = Authorization(name=name, description=description, permissions=permissions)
                authorizations.save_authorization(actor=admin, authorization=authorization)
        for fields in ENDPOINTS:
            if not Endpoint.objects.filter(name=fields["name"]).exists():
                self._endpoint(admin, dict(fields))
        for name, members, wired in GROUPS:
            if not Group.objects.filter(name=name).exists():
                group = groups.save_group(actor=admin, group=Group(name=name))
                groups.add_members(actor=admin, group=group, emails=members)
                for endpoint in Endpoint.objects.filter(name__in=wired):
                    groups.wire_endpoint(actor=admin, group=group, endpoint=endpoint)

    def _endpoint(self, admin: User, fields: dict[str, Any]) -> None:
        approvers = fields.pop("approvers", [])
        fields["resource"] = Resource.objects.get(name=fields["resource"])
        fields["authorization"] = Authorization.objects.get(name=fields["authorization"])
        endpoints.save_endpoint(actor=admin, endpoint=Endpoint(**fields), approvers=approvers)
