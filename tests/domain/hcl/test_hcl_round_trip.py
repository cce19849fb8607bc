"""What is written can be read back, whatever people put into their names."""

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accessmgmt.domain.hcl.document import Document, EndpointSpec, ResourceSpec
from accessmgmt.domain.hcl.labels import assign_labels
from accessmgmt.domain.hcl.render import render
from accessmgmt.domain.hcl.strings import quote
from tests.domain.hcl.hcl_reader import closed, literal, read
from tests.domain.hcl.hcl_strategies import documents, texts
from tests.limits import EVERYTHING

SLOW = settings(max_examples=150 if EVERYTHING else 60, deadline=None, suppress_health_check=list(HealthCheck))


def present(**attributes):
    return {name: value for name, value in attributes.items() if value not in (None, "", False)}


def sorted_set(names):
    return sorted(set(names), key=lambda name: (name.casefold(), name))


def wanted_resource(spec: ResourceSpec, label: str) -> dict:
    def variable(condition, suffix):
        return f"${{var.{label}_{suffix}}}" if condition else None

    def file(condition, suffix):
        return f'${{file("${{path.module}}/certs/{label}-{suffix}.pem")}}' if condition else None

    return present(
        type=spec.type,
        name=spec.name,
        host=spec.host,
        port=str(spec.port),
        username=variable(spec.username, "username"),
        password=variable(spec.has_password, "password"),
        database_name=spec.database_name,
        use_aws_secrets=spec.use_aws_secrets,
        aws_region=spec.aws_region,
        aws_secret_name=spec.aws_secret_name,
        aws_access_key_id=variable(spec.has_aws_keys, "aws_access_key_id"),
        aws_secret_access_key=variable(spec.has_aws_keys, "aws_secret_access_key"),
        ssl_mode=spec.ssl_mode,
        tls_root_cert=file(spec.tls_root_cert, "ca"),
        tls_cert_file=file(spec.tls_cert_file, "client"),
        tls_key_file=file(spec.tls_key_file, "client-key"),
    ) | {
        name: value
        for name, value in (
            ("max_connections", spec.max_connections),
            ("min_connections", spec.min_connections),
        )
        if value is not None
    }


def wanted_endpoint(spec: EndpointSpec, labels: dict) -> dict:
    wanted = present(
        name=spec.name,
        type=spec.type,
        ttl=spec.ttl,
        resource=named("resource", spec.resource, labels),
        authorization=named("authorization", spec.authorization, labels),
        is_jit_enabled=spec.is_jit_enabled,
    )
    if spec.is_jit_enabled and spec.jit_approvers:
        wanted["jit_approvers"] = sorted_set(spec.jit_approvers)
    return wanted


def named(kind: str, name: str, labels: dict) -> str:
    label = labels[kind].get(name)
    return f"${{adaptive_{kind}.{label}.name}}" if label else name


def labels_of(document: Document) -> dict[str, dict[str, str]]:
    return {
        "resource": assign_labels([spec.name for spec in document.resources], "resource"),
        "authorization": assign_labels([spec.name for spec in document.authorizations], "authorization"),
        "endpoint": assign_labels([spec.name for spec in document.endpoints], "endpoint"),
        "group": assign_labels([spec.name for spec in document.groups], "group"),
    }


@SLOW
@given(documents(texts.map(closed)))
def test_everything_that_was_said_is_read_back(document):
    labels = labels_of(document)
    export = render(document)
    found = read(export.text)
    assert found.get("adaptive_resource", {}) == {
        labels["resource"][spec.name]: wanted_resource(spec, labels["resource"][spec.name])
        for spec in document.resources
    }
    assert found.get("adaptive_authorization", {}) == {
        labels["authorization"][spec.name]: present(
            name=spec.name, description=spec.description, resource_type="postgres"
        )
        | {
            "permissions": {
                "grants": list(spec.grants),
                "schemas": list(spec.schemas),
                "tables": list(spec.tables),
            }
        }
        for spec in document.authorizations
    }
    assert found.get("adaptive_endpoint", {}) == {
        labels["endpoint"][spec.name]: wanted_endpoint(spec, labels) for spec in document.endpoints
    }
    assert found.get("adaptive_group", {}) == {
        labels["group"][spec.name]: {
            "name": spec.name,
            "members": sorted_set(spec.members),
            "endpoints": [named("endpoint", name, labels) for name in sorted_set(spec.endpoints)],
        }
        for spec in document.groups
    }
    assert found.get("variable", {}) == {
        variable.name: {
            "description": variable.description,
            "type": "string",
            "sensitive": True,
        }
        for variable in export.variables
    }


@given(texts)
def test_a_literal_evaluates_to_its_text(text):
    assert literal(quote(text)) == text


@given(texts, st.sampled_from(["${", "%{"]), texts)
def test_no_literal_opens_a_template(before, introducer, after):
    """HCL reads `${` as an introducer exactly when no second dollar stands before it; the same with `%{`."""
    source = quote(before + introducer + after)
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", source)
