"""Whoever calls a service, texts are stored in their one form, and what a form would refuse is refused."""

from __future__ import annotations

from typing import Any

import pytest

from accessmgmt.domain.errors import InvalidError
from accessmgmt.models import Authorization, Endpoint, Group, Resource, User
from accessmgmt.services.people.users import change_profile, change_user, create_user
from accessmgmt.services.requests.ask import request_access
from accessmgmt.services.requests.decide import deny_request
from accessmgmt.services.setup.authorizations import save_authorization
from accessmgmt.services.setup.endpoints import save_endpoint
from accessmgmt.services.setup.groups import save_group
from accessmgmt.services.setup.resources import save_resource
from devstack.certs import CertificateAuthority
from tests.factories import make_authorization, make_endpoint, make_request, make_resource, make_user

SAID = {"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]}


def resource(**fields: Any) -> Resource:
    return Resource(**{"name": "r", "host": "db", "port": 5432, "database_name": "d", "username": "u", **fields})


@pytest.mark.parametrize(
    ("field", "given", "stored"),
    [
        ("name", "\ufeffPostgres\u00a0production ", "Postgres production"),
        ("name", "Zoe\u0308", "Zo\u00eb"),
        ("host", " DB1.Company.NET., [::1]", "db1.company.net,::1"),
        ("database_name", " production\u200b", "production"),
        ("description", "one\r\ntwo ", "one\ntwo"),
    ],
)
def test_texts_of_a_resource_are_stored_in_one_form(dave: User, field: str, given: str, stored: str) -> None:
    saved = save_resource(actor=dave, resource=resource(**{field: given}))
    saved.refresh_from_db()
    assert getattr(saved, field) == stored


def test_certificates_are_stored_in_one_form(dave: User) -> None:
    pem = CertificateAuthority("Example authority").pem
    saved = save_resource(actor=dave, resource=resource(tls_root_cert=pem.replace("\n", " ")))
    saved.refresh_from_db()
    assert saved.tls_root_cert == pem


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", "post\u202egres"),
        ("description", "a\u200bb"),
        ("host", "db:5432"),
        ("database_name", "d\u200bb"),
        ("username", "u" * 64),
        ("password", "a\0b"),
        ("tls_root_cert", "no certificate"),
        ("tls_key_file", "no key"),
        ("aws_region", "Frankfurt"),
    ],
)
def test_a_resource_that_the_form_would_refuse_is_refused(dave: User, field: str, given: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        save_resource(actor=dave, resource=resource(**{field: given}))
    assert set(refusal.value.fields) == {field}
    assert not Resource.objects.exists()


def test_an_arn_of_another_region_is_refused(dave: User) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"
    wrong = Resource(name="r", use_aws_secrets=True, aws_region="us-east-1", aws_secret_name=arn)
    with pytest.raises(InvalidError, match="of the region eu-west-1"):
        save_resource(actor=dave, resource=wrong)


def test_an_authorization_an_endpoint_and_a_group_are_read_the_same_way(dave: User) -> None:
    with pytest.raises(InvalidError, match="Write app under schemas"):
        save_authorization(actor=dave, authorization=Authorization(name="a", permissions={**SAID, "tables": ["app.t"]}))
    saved = save_authorization(
        actor=dave, authorization=Authorization(name="a ", permissions={**SAID, "tables": ['"t"', '"a.b"']})
    )
    saved.refresh_from_db()
    assert (saved.name, saved.permissions["tables"]) == ("a", ["t", '"a.b"'])
    endpoint = Endpoint(name="e", resource=make_resource(), authorization=make_authorization(), ttl=" 8H\u200b")
    save_endpoint(actor=dave, endpoint=endpoint, approvers=["Lead <lead@MÜLLER.de>"])
    endpoint.refresh_from_db()
    assert (endpoint.ttl, endpoint.ttl_seconds) == ("8h", 28_800)
    assert list(endpoint.approvers.values_list("email", flat=True)) == ["lead@xn--mller-kva.de"]
    with pytest.raises(InvalidError):
        save_group(actor=dave, group=Group(name="g\u2066x"))


def test_people_and_requests_are_read_the_same_way(dave: User, alice: User) -> None:
    with pytest.raises(InvalidError) as refusal:
        change_profile(actor=alice, name="Al\u202eice", time_zone="UTC")
    assert set(refusal.value.fields) == {"name"}
    with pytest.raises(InvalidError):
        change_user(actor=dave, user=alice, name="Al\u200bice", role="member", is_active=True)
    with pytest.raises(InvalidError):
        create_user(actor=dave, email="x@company.com", name="a\x07b", role="member", password="unlikely wet maple lamp")
    endpoint = make_endpoint(is_requestable=True)
    with pytest.raises(InvalidError) as refusal:
        request_access(actor=alice, endpoint=endpoint, reason="\u3164" * 20, duration="1h")
    assert set(refusal.value.fields) == {"reason"}
    row = request_access(actor=alice, endpoint=endpoint, reason=" Ticket 4711\r\nin detail ", duration=" 1H ")
    assert (row.reason, row.duration) == ("Ticket 4711\nin detail", "1h")
    with pytest.raises(InvalidError) as refusal:
        deny_request(actor=dave, request=make_request(user=make_user()), comment="no\u202eon")
    assert set(refusal.value.fields) == {"comment"}
