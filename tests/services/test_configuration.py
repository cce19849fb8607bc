"""What admins describe, and what the audit says about it."""

from __future__ import annotations

import pytest

from accessmgmt.domain.errors import ConflictError, ForbiddenError, InvalidError
from accessmgmt.models import AuditEvent, Endpoint, Group, GroupMember, Resource, User
from accessmgmt.services.people.users import change_user, create_user
from accessmgmt.services.setup import endpoints, groups, resources, save
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_change_is_audited_without_secrets(dave: User) -> None:
    resource = factories.make_resource(password="old-secret")
    resource.password = "new-secret"
    resource.port = 6543
    resources.save_resource(actor=dave, resource=resource)
    event = AuditEvent.objects.get(action="resource.updated")
    assert event.details["before"] == {"port": 5432, "password": "(set)"}
    assert event.details["after"] == {"port": 6543, "password": "(set)"}


def test_saving_without_a_change_says_nothing(dave: User) -> None:
    resource = factories.make_resource()
    resources.save_resource(actor=dave, resource=resource)
    assert not AuditEvent.objects.exists()


def test_only_admins_describe(alice: User, erin: User) -> None:
    for actor in (alice, erin):
        with pytest.raises(ForbiddenError):
            groups.save_group(actor=actor, group=Group(name="x"))
        with pytest.raises(ForbiddenError):
            groups.add_members(actor=actor, group=factories.make_group(), emails=["a@company.com"])


def test_an_endpoint_is_saved_with_its_seconds_and_approvers(dave: User) -> None:
    endpoint = Endpoint(
        name="e", resource=factories.make_resource(), authorization=factories.make_authorization(), ttl=" 1h30m "
    )
    endpoints.save_endpoint(actor=dave, endpoint=endpoint, approvers=["Bob@company.com"])
    endpoints.save_endpoint(actor=dave, endpoint=endpoint, approvers=["ann@company.com"])
    assert (endpoint.ttl, endpoint.ttl_seconds) == ("1h30m", 5400)
    assert list(endpoint.approvers.values_list("email", flat=True)) == ["ann@company.com"]
    endpoint.ttl = "8x"
    with pytest.raises(InvalidError):
        endpoints.save_endpoint(actor=dave, endpoint=endpoint)


def test_what_is_in_use_is_not_deleted(dave: User) -> None:
    grant = factories.make_grant("ended")
    for row in (grant.resource, grant.endpoint.authorization, grant.endpoint):
        with pytest.raises(ConflictError):
            save.delete_described(actor=dave, row=row)
    unused = factories.make_resource()
    save.delete_described(actor=dave, row=unused)
    assert not Resource.objects.filter(name=unused.name).exists()
    assert AuditEvent.objects.filter(action="resource.deleted", object_name=unused.name).exists()


def test_members_are_added_once_and_removed(dave: User) -> None:
    group = factories.make_group(members=["ann@company.com"])
    emails = ["Ann@company.com", "ben@company.com"]
    assert groups.add_members(actor=dave, group=group, emails=emails) == ["ben@company.com"]
    groups.remove_member(actor=dave, group=group, email="ann@company.com")
    assert [member.email for member in GroupMember.objects.all()] == ["ben@company.com"]
    with pytest.raises(ConflictError):
        groups.remove_member(actor=dave, group=group, email="ann@company.com")


def test_wires_say_whether_they_changed_anything(dave: User) -> None:
    group, endpoint = factories.make_group(), factories.make_endpoint()
    assert groups.wire_endpoint(actor=dave, group=group, endpoint=endpoint)
    assert not groups.wire_endpoint(actor=dave, group=group, endpoint=endpoint)
    assert groups.unwire_endpoint(actor=dave, group=group, endpoint=endpoint)
    assert not groups.unwire_endpoint(actor=dave, group=group, endpoint=endpoint)


def test_suspending_a_person_ends_what_they_have(dave: User) -> None:
    grant = factories.make_grant("active")
    change_user(actor=dave, user=grant.user, name="", role="member", is_active=False)
    grant.refresh_from_db()
    assert grant.state == "ending"


def test_an_admin_does_not_lock_himself_out(dave: User) -> None:
    with pytest.raises(ConflictError):
        change_user(actor=dave, user=dave, name="", role="member", is_active=True)


def test_weak_passwords_and_second_accounts_are_refused(dave: User) -> None:
    with pytest.raises(InvalidError):
        create_user(actor=dave, email="new@company.com", name="", role="member", password="password")
    with pytest.raises(ConflictError):
        create_user(actor=dave, email=dave.email, name="", role="member", password="a-long-enough-one-7")


def test_a_name_is_taken_whatever_its_case(dave: User) -> None:
    taken = factories.make_group(name="Analysts")
    with pytest.raises(ConflictError, match="already"):
        groups.save_group(actor=dave, group=Group(name="analysts"))
    assert [group.pk for group in Group.objects.all()] == [taken.pk]


def test_a_resource_is_not_moved_while_logins_live_there(dave: User) -> None:
    grant = factories.make_grant("active")
    resource = grant.resource
    resource.host = "elsewhere.example.invalid"
    with pytest.raises(ConflictError, match="moved"):
        resources.save_resource(actor=dave, resource=resource)
    resource.refresh_from_db()
    resource.description = "still the same server"
    resources.save_resource(actor=dave, resource=resource)


def test_suspending_survives_a_grant_that_ends_at_the_same_moment(dave: User) -> None:
    ending = factories.make_grant("ending")
    active = factories.make_grant("active", user=ending.user)
    change_user(actor=dave, user=ending.user, name="", role="member", is_active=False)
    active.refresh_from_db()
    assert active.state == "ending"
    assert not User.objects.get(pk=ending.user.pk).is_active
