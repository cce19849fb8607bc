"""The set-up out of the models, as the document that is written as Terraform HCL."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accessmgmt.domain.hcl.document import AuthorizationSpec, Document, EndpointSpec, GroupSpec, ResourceSpec
from accessmgmt.models import Authorization, Endpoint, Group, Resource


@dataclass(frozen=True, slots=True)
class Scope:
    """What is exported: everything, or one resource or one group with all that belongs to it."""

    kind: str = "all"
    pk: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "all" else f"{self.kind}:{self.pk}"


def document_for(scope: Scope) -> Document:
    """Read what the scope covers.

    A group brings its endpoints, a resource its endpoints and the groups wired to them; every endpoint brings its
    resource and its authorization. A wire to an endpoint outside the scope stays: the export names it as a loss.
    """
    resources, authorizations, endpoints, groups = _rows(scope)
    return Document(
        resources=tuple(_resource(row) for row in resources),
        authorizations=tuple(_authorization(row) for row in authorizations),
        endpoints=tuple(_endpoint(row) for row in endpoints),
        groups=tuple(_group(row) for row in groups),
    )


def scope_choices() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (value, name) of the resources and of the groups that can be exported alone."""
    return (
        [(str(Scope("resource", pk)), name) for pk, name in Resource.objects.values_list("pk", "name")],
        [(str(Scope("group", pk)), name) for pk, name in Group.objects.values_list("pk", "name")],
    )


def _rows(
    scope: Scope,
) -> tuple[QuerySet[Resource], QuerySet[Authorization], QuerySet[Endpoint], QuerySet[Group]]:
    endpoints = Endpoint.objects.select_related("resource", "authorization").prefetch_related("approvers")
    groups = Group.objects.prefetch_related("members", "wires__endpoint")
    match scope.kind:
        case "resource":
            endpoints = endpoints.filter(resource=scope.pk)
            resources = Resource.objects.filter(pk=scope.pk)
            groups = groups.filter(endpoints__resource=scope.pk).distinct()
        case "group":
            endpoints = endpoints.filter(wires__group=scope.pk)
            resources = Resource.objects.filter(endpoints__wires__group=scope.pk).distinct()
            groups = groups.filter(pk=scope.pk)
        case _:
            return Resource.objects.all(), Authorization.objects.all(), endpoints, groups
    used = Q(endpoints__in=endpoints.values("pk").order_by())
    return resources, Authorization.objects.filter(used).distinct(), endpoints, groups


def _resource(row: Resource) -> ResourceSpec:
    return ResourceSpec(
        name=row.name,
        host=row.host,
        port=row.port,
        database_name=row.database_name,
        username=row.username,
        has_password=bool(row.password),
        ssl_mode=row.ssl_mode or None,
        tls_root_cert=row.tls_root_cert or None,
        tls_cert_file=row.tls_cert_file or None,
        tls_key_file="stored" if row.tls_key_file else None,
        use_aws_secrets=row.use_aws_secrets,
        aws_region=row.aws_region or None,
        aws_secret_name=row.aws_secret_name or None,
        has_aws_keys=bool(row.aws_access_key_id or row.aws_secret_access_key),
        max_connections=row.max_connections,
        min_connections=row.min_connections,
    )


def _authorization(row: Authorization) -> AuthorizationSpec:
    said = row.permissions
    return AuthorizationSpec(
        name=row.name,
        description=row.description or None,
        grants=tuple(said["grants"]),
        schemas=tuple(said["schemas"]),
        tables=tuple(said["tables"]),
    )


def _endpoint(row: Endpoint) -> EndpointSpec:
    return EndpointSpec(
        name=row.name,
        ttl=row.ttl,
        resource=row.resource.name,
        authorization=row.authorization.name,
        is_jit_enabled=row.is_jit_enabled,
        jit_approvers=tuple(approver.email for approver in row.approvers.all()),
    )


def _group(row: Group) -> GroupSpec:
    return GroupSpec(
        name=row.name,
        members=tuple(member.email for member in row.members.all()),
        endpoints=tuple(wire.endpoint.name for wire in row.wires.all()),
    )
