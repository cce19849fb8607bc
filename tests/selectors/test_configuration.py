"""Reads of the set-up pages."""

from __future__ import annotations

import pytest

from accessmgmt.domain.certificates import describe_certificates
from accessmgmt.domain.permissions import parse_permissions
from accessmgmt.selectors.setup.affected import affected_by_authorization
from accessmgmt.selectors.setup.endpoints import endpoint_sentence
from accessmgmt.selectors.setup.resources import standby_chain_has
from devstack.certs import CertificateAuthority
from tests.factories import make_authorization, make_endpoint, make_grant, make_group, make_resource

READ = parse_permissions({"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]})


def test_every_certificate_of_a_bundle_is_described() -> None:
    first, second = (CertificateAuthority(name).client("portal").ca_pem for name in ("First", "Second"))
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert [fact.subject for fact in describe_certificates(first + broken + second)] == ["CN=First", "CN=Second"]
    assert describe_certificates("") == []


def test_a_circle_of_standbys_is_found_and_one_that_exists_does_no_harm(db: None) -> None:
    first = make_resource()
    second = make_resource(primary=first)
    outsider = make_resource()
    assert standby_chain_has(second, first)
    assert not standby_chain_has(second, outsider)
    first.primary = second
    first.save(update_fields=["primary"])
    assert not standby_chain_has(first, outsider)


def test_people_are_counted_once(db: None) -> None:
    authorization = make_authorization()
    endpoints = [make_endpoint(authorization=authorization) for _ in range(2)]
    make_group(members=["a@company.com", "b@company.com"], endpoints=endpoints)
    make_group(members=["b@company.com"], endpoints=endpoints)
    make_grant(endpoint=endpoints[0])
    make_grant("ended", endpoint=endpoints[0])
    affected = affected_by_authorization(authorization)
    assert (affected.people, affected.endpoints, affected.live_grants) == (2, 2, 1)


@pytest.mark.parametrize(
    ("approvers", "who"),
    [
        ([], "an admin"),
        (["a@x.com"], "a@x.com"),
        (["a@x.com", "b@x.com"], "a@x.com or b@x.com"),
        (["a@x.com", "b@x.com", "c@x.com"], "a@x.com, b@x.com or c@x.com"),
    ],
)
def test_the_sentence_names_who_approves(approvers: list[str], who: str) -> None:
    sentence = endpoint_sentence(
        permissions=READ,
        resource_name="main",
        ttl_seconds=5400,
        needs_approval=True,
        is_requestable=False,
        approvers=approvers,
    )
    assert sentence == (
        f"Members can SELECT on all tables in public of main for 1 hour 30 minutes at a time, after {who} approves."
    )
