"""Each rule asked about each kind of person and row; the filter and the judgement of one row say the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest

from accessmgmt.domain.errors import ForbiddenError
from accessmgmt.domain.looks import LookKind
from accessmgmt.models import AccessRequest, Endpoint, Grant, TargetLook, User
from accessmgmt.policy import access, approval, people
from tests.factories import make_endpoint, make_grant, make_group, make_request, make_resource, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def persons(alice: User, bob: User, carol: User, dave: User, erin: User) -> dict[str, User]:
    """The personas, and each of them suspended: a second account in the same place."""
    found = {"member": alice, "approver": bob, "outsider": carol, "admin": dave, "auditor": erin}
    suspended = {
        f"suspended {name}": make_user(f"suspended-{user.email}", role=user.role, is_active=False)
        for name, user in found.items()
    }
    return found | suspended


@pytest.fixture
def endpoints(persons: dict[str, User]) -> list[Endpoint]:
    """One endpoint of each kind; members and the approver are wired to every second one."""
    rows = []
    for is_wired, is_jit, is_requestable in itertools.product((True, False), repeat=3):
        approvers = [persons[name].email for name in ("approver", "suspended approver")]
        endpoint = make_endpoint(is_jit_enabled=is_jit, is_requestable=is_requestable, approvers=approvers)
        if is_wired:
            members = [user for name, user in persons.items() if "member" in name or "approver" in name]
            make_group(members=members, endpoints=[endpoint])
        rows.append(endpoint)
    return rows


def names(persons: dict[str, User], asked: Callable[[User], bool]) -> set[str]:
    return {name for name, user in persons.items() if asked(user)}


def test_admins_and_auditors_are_those_that_are_not_suspended(persons: dict[str, User]) -> None:
    assert names(persons, people.is_admin) == {"admin"}
    assert names(persons, people.is_auditor) == {"admin", "auditor"}


def test_only_an_admin_passes_and_a_refusal_says_who_may(persons: dict[str, User]) -> None:
    people.require_admin(persons["admin"], "tests connections")
    for name in persons.keys() - {"admin"}:
        with pytest.raises(ForbiddenError, match=r"^Only an admin tests connections\. Ask an admin\.$"):
            people.require_admin(persons[name], "tests connections")


def test_activating_takes_a_wire_and_an_endpoint_without_approval(
    persons: dict[str, User], endpoints: list[Endpoint]
) -> None:
    for name, user in persons.items():
        may = {endpoint.pk for endpoint in endpoints if access.may_activate(user, endpoint)}
        filtered = Endpoint.objects.filter(access.wired_to(user), is_jit_enabled=False)
        assert may == set(filtered.values_list("pk", flat=True)), name
        assert len(may) == (2 if name in {"member", "approver"} else 0), name


def test_requesting_takes_an_open_endpoint_or_a_wire_to_one_with_approval(
    persons: dict[str, User], endpoints: list[Endpoint]
) -> None:
    wires = access.wires_between([user.email for user in persons.values()], [endpoint.pk for endpoint in endpoints])
    for name, user in persons.items():
        filtered = set(Endpoint.objects.filter(access.requestable_by(user)).values_list("pk", flat=True))
        assert {endpoint.pk for endpoint in endpoints if access.may_request(user, endpoint)} == filtered, name
        assert {endpoint.pk for endpoint in endpoints if access.may_request(user, endpoint, wires)} == filtered, name
        assert len(filtered) == (0 if "suspended" in name else 5 if name in {"member", "approver"} else 4), name


def test_a_member_sees_what_may_be_activated_or_requested_and_an_admin_everything(
    persons: dict[str, User], endpoints: list[Endpoint]
) -> None:
    for name, user in persons.items():
        seen = set(Endpoint.objects.filter(access.endpoints_visible_to(user)).values_list("pk", flat=True))
        may = {e.pk for e in endpoints if access.may_activate(user, e) or access.may_request(user, e)}
        assert seen == (may if name != "admin" else {endpoint.pk for endpoint in endpoints}), name


def test_a_grant_is_its_persons_and_auditors_see_it(persons: dict[str, User]) -> None:
    grants = {name: make_grant(user=user) for name, user in persons.items()}
    for name, user in persons.items():
        seen = {owner for owner, grant in grants.items() if access.may_see_grant(user, grant)}
        filtered = Grant.objects.filter(access.grants_visible_to(user))
        assert {grants[owner].pk for owner in seen} == set(filtered.values_list("pk", flat=True)), name
        assert seen == (set(grants) if name in {"admin", "auditor"} else {name} - {n for n in grants if "susp" in n})
        may_reveal = {owner for owner, grant in grants.items() if access.may_reveal(user, grant)}
        assert may_reveal == ({name} if user.is_active else set()), name


def test_a_look_at_a_resource_is_for_auditors_and_one_at_a_form_for_who_asked(persons: dict[str, User]) -> None:
    stored = TargetLook.objects.create(
        kind=LookKind.CONNECTION, resource=make_resource(), asked_by=persons["suspended admin"]
    )
    forms = {
        name: TargetLook.objects.create(kind=LookKind.UNSAVED, asked_by=persons[name]).pk
        for name in ("admin", "suspended admin")
    }
    for name, user in persons.items():
        seen = set(TargetLook.objects.filter(access.looks_visible_to(user)).values_list("pk", flat=True))
        expected = {"admin": {stored.pk, forms["admin"]}, "auditor": {stored.pk}}.get(name, set())
        assert seen == expected, name


def test_approvers_and_admins_decide_and_nobody_on_their_own_request(persons: dict[str, User]) -> None:
    approvers = [persons[name].email for name in ("approver", "suspended approver")]
    rows = {
        (owner, is_approved): make_request(
            user=user, endpoint=make_endpoint(is_requestable=True, approvers=approvers if is_approved else ())
        )
        for owner, user in persons.items()
        for is_approved in (True, False)
    }
    for name, user in persons.items():
        decides = {key for key, row in rows.items() if approval.may_decide(user, row, approvers if key[1] else ())}
        expected = {
            "admin": {key for key in rows if key[0] != "admin"},
            "approver": {key for key in rows if key[0] != "approver" and key[1]},
        }.get(name, set())
        assert decides == expected, name
        filtered = AccessRequest.objects.filter(approval.decidable_by(user)).values_list("pk", flat=True)
        assert {rows[key].pk for key in decides} == set(filtered), name
        for key, row in rows.items():
            if key in decides:
                approval.require_decider(user, row, approvers if key[1] else ())
            else:
                with pytest.raises(ForbiddenError):
                    approval.require_decider(user, row, approvers if key[1] else ())


def test_only_its_person_releases_a_grant_reads_its_password_or_cancels_a_request(persons: dict[str, User]) -> None:
    for name, user in persons.items():
        grant, request = make_grant(user=user), make_request(user=user)
        rules = (
            lambda asked, grant=grant: access.require_releaser(asked, grant),
            lambda asked, grant=grant: access.require_reader_of_password(asked, grant),
            lambda asked, request=request: approval.require_asker(asked, request),
        )
        for rule in rules:
            assert names(persons, partial(passes, rule)) == ({name} if user.is_active else set())


def test_only_an_admin_ends_anybodys_grant(persons: dict[str, User]) -> None:
    assert names(persons, partial(passes, access.require_revoker)) == {"admin"}
    with pytest.raises(ForbiddenError, match=r"^Only an admin ends somebody else's access"):
        access.require_revoker(persons["member"])


def passes(rule: Callable[[User], None], user: User) -> bool:
    try:
        rule(user)
    except ForbiddenError:
        return False
    return True


def test_wires_are_those_between_the_people_and_endpoints_asked_about_and_asked_for_once(
    alice: User, bob: User, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    wanted, other = make_endpoint(is_jit_enabled=True), make_endpoint(is_jit_enabled=True)
    make_group(members=[alice, bob], endpoints=[wanted, other])
    wires = access.wires_between([alice.email], [wanted.pk])
    assert wires == {(alice.email, wanted.pk)}
    with django_assert_num_queries(0):
        assert access.may_request(alice, wanted, wires)
        assert not access.may_request(bob, wanted, wires)


def test_a_suspended_person_does_not_even_see_their_own_requests(persons: dict[str, User]) -> None:
    rows = {name: make_request(user=user).pk for name, user in persons.items()}
    for name, user in persons.items():
        seen = set(AccessRequest.objects.filter(approval.requests_visible_to(user)).values_list("pk", flat=True))
        assert seen == (
            set(rows.values()) if name in {"admin", "auditor"} else {rows[name]} if user.is_active else set()
        )


def test_a_request_is_seen_by_its_person_its_deciders_and_auditors(persons: dict[str, User]) -> None:
    endpoint = make_endpoint(is_requestable=True, approvers=[persons["approver"].email])
    row = make_request(user=persons["member"], endpoint=endpoint)
    seen = names(
        persons, lambda user: AccessRequest.objects.filter(approval.requests_visible_to(user), pk=row.pk).exists()
    )
    assert seen == {"member", "approver", "admin", "auditor"}
