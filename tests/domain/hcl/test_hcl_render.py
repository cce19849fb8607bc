"""The export: its golden file, its order, what it leaves out and says so."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accessmgmt.domain.hcl.document import (
    AuthorizationSpec,
    Document,
    EndpointSpec,
    GroupSpec,
    ResourceSpec,
)
from accessmgmt.domain.hcl.errors import DuplicateNameError, HclTextError
from accessmgmt.domain.hcl.render import Loss, render
from tests.domain.hcl.hcl_guide_example import CERTIFICATE, CLIENT_CERTIFICATE, GUIDE_EXAMPLE, PRIVATE_KEY
from tests.domain.hcl.hcl_strategies import documents
from tests.limits import EVERYTHING

GOLDEN = Path(__file__).with_name("guide_example.tf")
SLOW = settings(max_examples=100 if EVERYTHING else 40, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_guide_example_is_the_golden_file():
    assert render(GUIDE_EXAMPLE).text == GOLDEN.read_text(encoding="utf-8")


def test_public_certificates_come_along_and_the_private_key_is_named_as_a_loss():
    export = render(GUIDE_EXAMPLE)
    assert {file.path: file.content for file in export.files} == {
        "certs/postgres_production-ca.pem": CERTIFICATE,
        "certs/postgres_production-client.pem": CLIENT_CERTIFICATE,
    }
    assert export.losses == (
        Loss(
            where="adaptive_resource.postgres_production.tls_key_file",
            what="The client's private key is never exported",
            instead="put it at certs/postgres_production-client-key.pem by hand",
        ),
    )


def test_every_variable_is_declared_once():
    export = render(GUIDE_EXAMPLE)
    declared = [variable.name for variable in export.variables]
    assert declared == [
        "postgres_production_aws_access_key_id",
        "postgres_production_aws_secret_access_key",
        "postgres_read_replica_aws_access_key_id",
        "postgres_read_replica_aws_secret_access_key",
    ]


def test_user_name_and_password_are_variables():
    spec = ResourceSpec(name="main", host="db", database_name="app", username="portal_admin", has_password=True)
    text = render(Document(resources=(spec,)), with_provider_block=False).text
    assert text == (Path(__file__).with_name("simple.tf")).read_text(encoding="utf-8")
    assert "portal_admin" not in text


def test_an_empty_document_is_only_the_preamble():
    assert render(Document(), with_provider_block=False).text == (
        "# Just-in-time access to PostgreSQL, exported by the access portal.\n"
    )
    assert 'source = "adaptive-scale/adaptive"' in render(Document()).text


def test_a_reference_out_of_the_export_is_text_and_a_loss():
    document = Document(
        endpoints=(EndpointSpec(name="e", resource="gone", authorization="away"),),
        groups=(GroupSpec(name="g", endpoints=("e", "f")),),
    )
    export = render(document)
    assert [loss.where for loss in export.losses] == [
        "adaptive_group.g.endpoints",
        "adaptive_endpoint.e.resource",
        "adaptive_endpoint.e.authorization",
    ]
    assert (
        "    adaptive_endpoint.e.name,\n"
        '    # The endpoint "f" is not part of this export: its name stands here as text.\n'
        '    "f"\n'
    ) in export.text
    assert '  resource      = "gone"\n  authorization = "away"\n' in export.text


def test_just_in_time_is_said_only_when_true():
    enabled = EndpointSpec(name="e", is_jit_enabled=True, jit_approvers=("b@x.org", "a@x.org"))
    assert (
        '  is_jit_enabled = true\n\n  jit_approvers = [\n    "a@x.org",\n    "b@x.org"\n  ]\n'
        in render(Document(endpoints=(enabled,))).text
    )
    export = render(Document(endpoints=(dataclasses.replace(enabled, is_jit_enabled=False),)))
    assert "is_jit_enabled" not in export.text
    assert "jit_approvers =" not in export.text
    assert [loss.where for loss in export.losses] == ["adaptive_endpoint.e.jit_approvers"]


def test_text_that_is_no_certificate_is_not_exported():
    spec = ResourceSpec(name="r", tls_root_cert="not PEM")
    export = render(Document(resources=(spec,)))
    assert export.files == ()
    assert [loss.where for loss in export.losses] == ["adaptive_resource.r.tls_root_cert"]
    assert 'tls_root_cert = file("${path.module}/certs/r-ca.pem")' in export.text


@pytest.mark.parametrize("text", ["\x00", "\ud800", "a\udfffb"])
@pytest.mark.parametrize("field", ["name", "description"])
def test_a_text_that_hcl_cannot_hold_is_refused(field, text):
    spec = dataclasses.replace(AuthorizationSpec(name="a"), **{field: text})
    with pytest.raises(HclTextError):
        render(Document(authorizations=(spec,)))


def test_two_objects_with_one_name_are_refused():
    with pytest.raises(DuplicateNameError):
        render(Document(groups=(GroupSpec(name="g"), GroupSpec(name="g"))))


def test_every_loss_is_a_comment_in_the_text():
    document = dataclasses.replace(GUIDE_EXAMPLE, authorizations=())
    export = render(document)
    assert len(export.losses) == 3
    for loss in export.losses:
        assert f"# {loss.what}: {loss.instead}.\n" in export.text


@SLOW
@given(documents(), st.randoms())
def test_the_order_of_facts_does_not_change_a_byte(document, random):
    def shuffled(values):
        return tuple(random.sample(values, len(values)))

    other = Document(
        resources=shuffled(document.resources),
        authorizations=shuffled(document.authorizations),
        endpoints=shuffled(
            [dataclasses.replace(spec, jit_approvers=shuffled(spec.jit_approvers)) for spec in document.endpoints]
        ),
        groups=shuffled(
            [
                dataclasses.replace(spec, members=shuffled(spec.members), endpoints=shuffled(spec.endpoints))
                for spec in document.groups
            ]
        ),
    )
    assert render(other) == render(document)


KEY_BODY = "MIGHAgEAMBMGByqGSM49AgEGSECRETSECRETSECRET"
KEYS = st.sampled_from(
    [
        PRIVATE_KEY,
        f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}\n-----END PRIVATE KEY-----\n",
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{KEY_BODY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN EC PRIVATE KEY-----\r\n{KEY_BODY}\r\n",
        f"-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n{KEY_BODY}\n-----END CERTIFICATE-----\n",
        f"{KEY_BODY}\n-----END PRIVATE KEY-----\n",
    ]
)
BUNDLES = st.lists(st.sampled_from([CERTIFICATE, CLIENT_CERTIFICATE, "subject=CN\n"]) | KEYS, max_size=4).map("".join)


def test_specs_have_no_room_for_a_secret():
    fields = {field.name for field in dataclasses.fields(ResourceSpec)}
    assert not fields & {"password", "aws_access_key_id", "aws_secret_access_key"}


@SLOW
@given(ca=BUNDLES, client=BUNDLES, key=KEYS)
def test_no_part_of_a_private_key_leaves(ca, client, key):
    spec = ResourceSpec(name="r", tls_root_cert=ca, tls_cert_file=client, tls_key_file=key)
    export = render(Document(resources=(spec,)))
    for shown in (repr(export), repr(spec.tls_key_file)):
        assert "PRIVATE KEY" not in shown
        assert "SECRET" not in shown
        assert "MIGHAgEA" not in shown


def test_certificates_survive_beside_a_private_key():
    spec = ResourceSpec(name="r", tls_cert_file=f"{PRIVATE_KEY}{CERTIFICATE}{CLIENT_CERTIFICATE}")
    export = render(Document(resources=(spec,)))
    assert [file.content for file in export.files] == [CERTIFICATE + CLIENT_CERTIFICATE]
    assert [loss.where for loss in export.losses] == ["adaptive_resource.r.tls_cert_file"]
