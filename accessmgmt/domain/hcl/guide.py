"""The dialect of the PostgreSQL guide: which attributes an object has, in which order and under which comments.

Source: the guide's "Complete Production Example". A dialect is one module of four functions like these, from a spec
to a block; `render` chooses it.
"""

from collections.abc import Iterable

from accessmgmt.domain.hcl.document import AuthorizationSpec, EndpointSpec, GroupSpec, ResourceSpec
from accessmgmt.domain.hcl.labels import order_key
from accessmgmt.domain.hcl.pem import public_pem
from accessmgmt.domain.hcl.scope import ExportFile, Scope
from accessmgmt.domain.hcl.writer import (
    Attribute,
    Block,
    Call,
    Comment,
    Element,
    Items,
    Lines,
    ModuleFile,
    Object,
    Value,
    join_groups,
)


def resource_block(spec: ResourceSpec, scope: Scope) -> Block:
    """Return the block of a resource; its secrets become variables, its certificates files."""
    label = scope.resources[spec.name]
    groups = [
        _attributes(type=spec.type),
        _connection(spec, label, scope),
        _aws(spec, label, scope),
        _ssl(spec, label, scope),
        _headed(
            "Connection pool",
            _attributes(max_connections=spec.max_connections, min_connections=spec.min_connections),
        ),
    ]
    return Block("resource", ("adaptive_resource", label), join_groups(groups))


def authorization_block(spec: AuthorizationSpec, scope: Scope) -> Block:
    """Return the block of an authorization, its permissions as `jsonencode({grants, schemas, tables})`."""
    permissions = Object(
        (
            Attribute("grants", Items(spec.grants)),
            Attribute("schemas", Items(spec.schemas)),
            Attribute("tables", Items(spec.tables)),
        )
    )
    groups = [
        _attributes(name=spec.name, description=spec.description, resource_type=spec.resource_type),
        _attributes(permissions=Call("jsonencode", permissions)),
    ]
    return Block("resource", ("adaptive_authorization", scope.authorizations[spec.name]), join_groups(groups))


def group_block(spec: GroupSpec, scope: Scope) -> Block:
    """Return the block of a group; members and endpoints are sets, written in `order_key` order."""
    label = scope.groups[spec.name]
    where = f"adaptive_group.{label}.endpoints"
    endpoints: list[Value | Comment] = []
    for name in _sorted_set(spec.endpoints):
        reference, comments = scope.reference_to("endpoint", name, where=where)
        endpoints += [*comments, reference]
    groups = [
        _attributes(name=spec.name),
        _attributes(members=Lines(_sorted_set(spec.members))),
        _attributes(endpoints=Lines(tuple(endpoints))),
    ]
    return Block("resource", ("adaptive_group", label), join_groups(groups))


def endpoint_block(spec: EndpointSpec, scope: Scope) -> Block:
    """Return the block of an endpoint; comments on references stand above its first attribute, to keep `=` aligned."""
    label = scope.endpoints[spec.name]
    where = f"adaptive_endpoint.{label}"
    comments: list[Comment] = []
    references: dict[str, Value] = {}
    for kind, name in (("resource", spec.resource), ("authorization", spec.authorization)):
        if name:
            references[kind], said = scope.reference_to(kind, name, where=f"{where}.{kind}")
            comments += said
    attributes = _attributes(name=spec.name, type=spec.type, ttl=spec.ttl, **references)
    main: tuple[Element, ...] = (*comments, *attributes)
    groups = [main, *_just_in_time(spec, where, scope)]
    return Block("resource", ("adaptive_endpoint", label), join_groups(groups))


def _just_in_time(spec: EndpointSpec, where: str, scope: Scope) -> list[tuple[Element, ...]]:
    approvers = _sorted_set(spec.jit_approvers)
    if spec.is_jit_enabled:
        enabled = _attributes(is_jit_enabled=True)
        return [enabled, _attributes(jit_approvers=Lines(approvers))] if approvers else [enabled]
    if not approvers:
        return []
    what = f"Approvers of an endpoint that is not just-in-time ({', '.join(approvers)})"
    return [(scope.lose(f"{where}.jit_approvers", what, "they stand in this comment alone"),)]


def _connection(spec: ResourceSpec, label: str, scope: Scope) -> tuple[Element, ...]:
    username = password = None
    if spec.username:
        username = scope.ask(f"{label}_username", f"User name that the portal signs in with on {spec.name}.")
    if spec.has_password:
        password = scope.ask(f"{label}_password", f"Password that the portal signs in with on {spec.name}.")
    return _attributes(
        name=spec.name,
        host=spec.host,
        port=str(spec.port) if spec.port else None,
        username=username,
        password=password,
        database_name=spec.database_name,
    )


def _aws(spec: ResourceSpec, label: str, scope: Scope) -> tuple[Element, ...]:
    key_id = secret_key = None
    if spec.has_aws_keys:
        purpose = f"with which the secret of {spec.name} is read"
        key_id = scope.ask(f"{label}_aws_access_key_id", f"ID of the AWS access key {purpose}.")
        secret_key = scope.ask(f"{label}_aws_secret_access_key", f"AWS secret access key {purpose}.")
    attributes = _attributes(
        use_aws_secrets=spec.use_aws_secrets or None,
        aws_region=spec.aws_region,
        aws_secret_name=spec.aws_secret_name,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret_key,
    )
    return _headed("AWS Secrets Manager", attributes)


def _ssl(spec: ResourceSpec, label: str, scope: Scope) -> tuple[Element, ...]:
    where = f"adaptive_resource.{label}"
    root, root_notes = _certificate(spec.tls_root_cert, f"certs/{label}-ca.pem", f"{where}.tls_root_cert", scope)
    client, client_notes = _certificate(
        spec.tls_cert_file, f"certs/{label}-client.pem", f"{where}.tls_cert_file", scope
    )
    key, key_notes = None, []
    if spec.tls_key_file:
        key = ModuleFile(f"certs/{label}-client-key.pem")
        what, instead = "The client's private key is never exported", f"put it at {key.path} by hand"
        key_notes = [scope.lose(f"{where}.tls_key_file", what, instead)]
    attributes = _attributes(ssl_mode=spec.ssl_mode, tls_root_cert=root, tls_cert_file=client, tls_key_file=key)
    return _headed("SSL configuration", [*root_notes, *client_notes, *key_notes, *attributes])


def _certificate(text: str | None, path: str, where: str, scope: Scope) -> tuple[ModuleFile | None, list[Comment]]:
    """Return the reference to a certificate file, which joins the export's files, and comments for the place."""
    if not text:
        return None, []
    public = public_pem(text)
    notes: list[Comment] = []
    if not public.text:
        notes = [scope.lose(where, "No PEM certificate is stored here", f"put it at {path} by hand")]
    else:
        scope.files.append(ExportFile(path=path, content=public.text))
        if public.has_more:
            instead = f"{path} holds the certificates alone"
            notes = [scope.lose(where, "Only certificates are exported", instead)]
    return ModuleFile(path), notes


def _attributes(**values: Value | None) -> tuple[Attribute, ...]:
    """Return the attributes in the order given, without those that are absent (`None`, `""`)."""
    return tuple(Attribute(name, value) for name, value in values.items() if value is not None and value != "")


def _headed(heading: str, elements: Iterable[Element]) -> tuple[Element, ...]:
    """Return the elements below a comment, or nothing at all when there are none."""
    rest = tuple(elements)
    return (Comment(heading), *rest) if rest else ()


def _sorted_set(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names), key=order_key))
