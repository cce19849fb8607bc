"""Every text field of every form, fed with spellings of real life: what is stored is what is used, or it is refused.

For each field: no answer but 200, 302 and 422; a refusal stands beside a field and names what cannot be seen; what is
stored is what its reader makes of it, once more; and opening the form and saving it changes nothing.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
from django import forms
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import accessmgmt.forms
from accessmgmt.domain.address_lists import read_addresses
from accessmgmt.domain.aws import check_place, read_region, read_secret_name
from accessmgmt.domain.certificates import tidy_certificates, tidy_key
from accessmgmt.domain.emails import read_address
from accessmgmt.domain.hcl.pem import public_pem
from accessmgmt.domain.hcl.render import render
from accessmgmt.domain.hosts import read_hosts, read_port
from accessmgmt.domain.names import read_object_name
from accessmgmt.domain.object_names import SCHEMA, TABLE, exact_name, is_pattern, object_name, read_entries
from accessmgmt.domain.permissions import parse_permissions, read_permissions
from accessmgmt.domain.secret_values import read_password
from accessmgmt.domain.texts import find_unseen, read_line, read_text
from accessmgmt.domain.ttl import parse_ttl, read_ttl
from accessmgmt.models import (
    AccessRequest,
    AuditEvent,
    Authorization,
    Decision,
    Endpoint,
    EndpointApprover,
    Group,
    GroupMember,
    Resource,
    User,
)
from accessmgmt.provisioning.connect.tls import libpq_tls
from accessmgmt.provisioning.privileges.read import as_regex
from accessmgmt.selectors.terraform import Scope, document_for
from tests.domain.hcl.hcl_reader import read as read_hcl
from tests.factories import make_authorization, make_endpoint, make_group, make_request, make_resource, make_user
from tests.forms import spellings
from tests.views.resource_form import form_of as resource_data

EXAMPLES = 14
PROPERTY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
SELECT_PUBLIC = {"grants": ["SELECT"], "schemas": "public", "all_tables": "", "tables": "orders"}
REASON = "Looking into ticket 4711"
PASSWORD = "a sentence is a good passphrase, isn't it"


@dataclass
class Field:
    """One text field: how its form is filled, what is read back, and what it has to be."""

    form: str
    name: str
    texts: st.SearchStrategy[str]
    checks: Callable[[Any, str], None]
    data: dict[str, Any] = field(default_factory=dict)
    is_kept: bool = True
    statuses: frozenset[int] = frozenset({200, 302, 422})

    def __str__(self) -> str:
        return f"{self.form}.{self.name}"


class Desk:
    """A browser of an admin, with what the forms choose from; one example works on it and leaves nothing behind."""

    def __init__(self) -> None:
        self.client = Client()
        self.admin = make_user("desk@company.com", role=User.Role.ADMIN)
        self.client.force_login(self.admin)
        self.endpoint = make_endpoint(name="desk-endpoint", is_requestable=True, ttl="8h")
        self.group = make_group(name="desk-group")
        self.person = make_user("person@company.com", name="Person")
        self.request = make_request(endpoint=self.endpoint)

    def post(self, form: str, data: dict[str, Any]) -> HttpResponse:
        """Send a form to the page that it belongs to."""
        return self.client.post(self.url_of(form), data)  # type: ignore[return-value]

    def url_of(self, form: str) -> str:
        """Return the page of a form."""
        name, args = {
            "ResourceForm": ("resource-create", []),
            "AuthorizationForm": ("authorization-create", []),
            "EndpointForm": ("endpoint-create", []),
            "GroupForm": ("group-create", []),
            "MembersForm": ("group-members-add", [self.group.pk]),
            "NewUserForm": ("user-create", []),
            "UserForm": ("user-edit", [self.person.pk]),
            "ProfileForm": ("profile", []),
            "OwnPasswordForm": ("profile", []),
            "RequestForm": ("request-create", []),
            "DecisionForm": ("request-approve", [self.request.pk]),
            "LogInForm": ("login", []),
        }[form]
        return reverse(f"accessmgmt:{name}", args=args)

    def base(self, form: str) -> dict[str, Any]:
        """Return data with which the form is valid."""
        return {
            "ResourceForm": lambda: resource_data(name="desk-resource"),
            "AuthorizationForm": lambda: {"name": "desk-authorization", "description": "", **SELECT_PUBLIC},
            "EndpointForm": lambda: {
                "name": "desk-new", "description": "", "resource": self.endpoint.resource_id,
                "authorization": self.endpoint.authorization_id, "ttl": "8h", "approvers": "",
            },
            "GroupForm": lambda: {"name": "desk-new-group", "description": ""},
            "MembersForm": lambda: {"emails": "dev1@company.com"},
            "NewUserForm": lambda: {"email": "new@company.com", "name": "", "role": "member", "password": PASSWORD},
            "UserForm": lambda: {"name": "Person", "role": "member", "is_active": "on"},
            "ProfileForm": lambda: {"name": "Desk", "time_zone": "UTC"},
            "OwnPasswordForm": lambda: {
                "change_password": "1", "old_password": "x", "new_password1": "y", "new_password2": "z",
            },
            "RequestForm": lambda: {"endpoint": self.endpoint.pk, "reason": REASON, "duration": "1h"},
            "DecisionForm": lambda: {"duration": "1h", "comment": "", "attested": ""},
            "LogInForm": lambda: {"username": "nobody@company.com", "password": "no"},
        }[form]()  # fmt: skip


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk()


# --- what is stored, field by field ---


def is_line(get: Callable[[], str]) -> Callable[[Any, str], None]:
    def checks(desk: Any, typed: str) -> None:
        stored = get()
        assert stored == read_line(stored) == read_line(typed)
        assert find_unseen(stored) is None

    return checks


def is_text(get: Callable[[], str]) -> Callable[[Any, str], None]:
    def checks(desk: Any, typed: str) -> None:
        stored = get()
        assert stored == read_text(stored) == read_text(typed)
        assert find_unseen(stored, allowed="\n\t") is None

    return checks


def of_resource(name: str, read: Callable[[str], Any]) -> Callable[[Any, str], None]:
    def checks(desk: Any, typed: str) -> None:
        resource = Resource.objects.get(name="desk-resource")
        stored, used = getattr(resource, name), getattr(resource.as_target(), name)
        assert used == stored == read(stored) == read(typed)

    return checks


def check_port(desk: Any, typed: str) -> None:
    resource = Resource.objects.get(name="desk-resource")
    assert resource.port == read_port(typed)
    assert resource.as_target().port == read_port(resource.port)


def check_pem(name: str, parameter: str) -> Callable[[Any, str], None]:
    def checks(desk: Any, typed: str) -> None:
        resource = Resource.objects.get(name="desk-resource")
        stored = getattr(resource, name)
        tidy = tidy_key if name == "tls_key_file" else tidy_certificates
        assert stored == tidy(stored) == tidy(typed)
        assert (public_pem(stored).text, public_pem(stored).has_more) == (
            ("", bool(stored)) if name == "tls_key_file" else (stored, False)
        )
        with libpq_tls(resource.as_target()) as tls:
            if stored:
                with open(tls[parameter]) as given:  # noqa: PTH123 - a file in memory
                    assert given.read() == stored

    return checks


def check_place_of_secret(desk: Any, typed: str) -> None:
    secret = Resource.objects.get(name="desk-resource").as_target().aws_secret
    assert secret is not None
    check_place(secret.region, secret.name)
    assert (secret.region, secret.name) == (read_region(secret.region), read_secret_name(secret.name))


def check_aws_key(desk: Any, typed: str) -> None:
    secret = Resource.objects.get(name="desk-resource").as_target().aws_secret
    assert secret is not None
    for stored in (secret.access_key_id, secret.secret_access_key):
        assert stored == read_line(stored)


def check_permissions(desk: Any, typed: str) -> None:
    """What the engine compares with the catalog is what the entries mean, and an approver attests just that."""
    authorization = Authorization.objects.get(name="desk-authorization")
    stored = authorization.permissions
    assert read_permissions(stored) == stored
    for kind in (SCHEMA, TABLE):
        assert read_entries(stored[kind], kind) == stored[kind]
    found = authorization.permission_set
    assert parse_permissions(found.as_json()) == found
    for entry in (*found.schemas, *found.tables):
        assert object_name(entry) == (exact_name(entry) or entry)
        assert (as_regex(entry) is not None) == is_pattern(entry)


def check_ttl(desk: Any, typed: str) -> None:
    endpoint = Endpoint.objects.get(name="desk-new")
    assert endpoint.ttl == read_ttl(endpoint.ttl) == read_ttl(typed)
    assert endpoint.ttl_seconds == parse_ttl(endpoint.ttl)


def check_approvers(desk: Any, typed: str) -> None:
    stored = list(EndpointApprover.objects.values_list("email", flat=True))
    assert stored == sorted(map(read_address, stored)) == list(read_addresses(typed).good)
    assert not read_addresses(typed).bad


def check_members(desk: Any, typed: str) -> None:
    stored = list(desk.group.members.values_list("email", flat=True))
    assert stored == sorted(map(read_address, stored)) == list(read_addresses(typed).good)


def check_new_user(desk: Any, typed: str) -> None:
    person = User.objects.get(email=read_address(typed))
    assert User.objects.get_by_natural_key(typed) == person
    assert read_address(person.email) == person.email


def check_new_password(desk: Any, typed: str) -> None:
    assert User.objects.get(email="new@company.com").check_password(typed)


def check_duration(desk: Any, typed: str) -> None:
    row = AccessRequest.objects.exclude(pk=desk.request.pk).get()
    assert row.duration == read_ttl(row.duration)
    assert row.duration_seconds == parse_ttl(row.duration)


def check_approved_duration(desk: Any, typed: str) -> None:
    vote = Decision.objects.get(request=desk.request)
    assert vote.approved_seconds == AccessRequest.objects.get(pk=desk.request.pk).granted_seconds
    if vote.approved_seconds is not None and typed.strip():
        assert vote.approved_seconds == parse_ttl(typed)


def nothing_stored(desk: Any, typed: str) -> None:
    """A secret that was only compared."""


AWS = {"use_aws_secrets": "on", "host": "", "port": "", "database_name": "", "username": "", "password": "",
       "aws_region": "us-east-1", "aws_secret_name": "db"}  # fmt: skip
CLIENT = {"tls_cert_file": spellings.certificate().certificate_pem, "tls_key_file": spellings.certificate().key_pem}
FIELDS = [
    Field("ResourceForm", "name", spellings.LINES, is_line(lambda: Resource.objects.latest("pk").name)),
    Field(
        "ResourceForm", "description", spellings.PARAGRAPHS, is_text(lambda: Resource.objects.latest("pk").description)
    ),
    Field("ResourceForm", "host", spellings.HOSTS, of_resource("host", read_hosts)),
    Field("ResourceForm", "port", spellings.PORTS, check_port),
    Field("ResourceForm", "database_name", spellings.OBJECTS, of_resource("database_name", read_object_name)),
    Field("ResourceForm", "username", spellings.OBJECTS, of_resource("username", read_object_name)),
    Field("ResourceForm", "password", spellings.PASSWORDS, of_resource("password", read_password)),
    Field(
        "ResourceForm",
        "tls_root_cert",
        spellings.pem_of(spellings.certificate().ca_pem),
        check_pem("tls_root_cert", "sslrootcert"),
    ),
    Field(
        "ResourceForm",
        "tls_cert_file",
        spellings.pem_of(CLIENT["tls_cert_file"]),
        check_pem("tls_cert_file", "sslcert"),
        CLIENT,
    ),
    Field(
        "ResourceForm",
        "tls_key_file",
        spellings.pem_of(CLIENT["tls_key_file"]),
        check_pem("tls_key_file", "sslkey"),
        CLIENT,
    ),
    Field("ResourceForm", "aws_region", spellings.REGIONS, check_place_of_secret, AWS),
    Field("ResourceForm", "aws_secret_name", spellings.SECRETS, check_place_of_secret, AWS),
    Field("ResourceForm", "aws_access_key_id", spellings.KEYS, check_aws_key, {**AWS, "aws_secret_access_key": "x"}),
    Field("ResourceForm", "aws_secret_access_key", spellings.KEYS, check_aws_key, {**AWS, "aws_access_key_id": "x"}),
    Field("AuthorizationForm", "name", spellings.LINES, is_line(lambda: Authorization.objects.latest("pk").name)),
    Field(
        "AuthorizationForm",
        "description",
        spellings.PARAGRAPHS,
        is_text(lambda: Authorization.objects.latest("pk").description),
    ),
    Field("AuthorizationForm", "schemas", spellings.NAME_LISTS, check_permissions),
    Field("AuthorizationForm", "tables", spellings.NAME_LISTS, check_permissions),
    Field("EndpointForm", "name", spellings.LINES, is_line(lambda: Endpoint.objects.latest("pk").name)),
    Field(
        "EndpointForm", "description", spellings.PARAGRAPHS, is_text(lambda: Endpoint.objects.latest("pk").description)
    ),
    Field("EndpointForm", "ttl", spellings.DURATIONS, check_ttl),
    Field("EndpointForm", "approvers", spellings.ADDRESS_LISTS, check_approvers),
    Field("GroupForm", "name", spellings.LINES, is_line(lambda: Group.objects.latest("pk").name)),
    Field("GroupForm", "description", spellings.PARAGRAPHS, is_text(lambda: Group.objects.latest("pk").description)),
    Field("MembersForm", "emails", spellings.ADDRESS_LISTS, check_members),
    Field("NewUserForm", "email", spellings.or_hostile(spellings.ADDRESSES), check_new_user),
    Field("NewUserForm", "name", spellings.LINES, is_line(lambda: User.objects.latest("pk").name)),
    Field("NewUserForm", "password", spellings.PASSWORDS, check_new_password),
    Field("UserForm", "name", spellings.LINES, is_line(lambda: User.objects.get(email="person@company.com").name)),
    Field("ProfileForm", "name", spellings.LINES, is_line(lambda: User.objects.get(email="desk@company.com").name)),
    Field("OwnPasswordForm", "old_password", spellings.PASSWORDS, nothing_stored, is_kept=False),
    Field("OwnPasswordForm", "new_password1", spellings.PASSWORDS, nothing_stored, is_kept=False),
    Field("OwnPasswordForm", "new_password2", spellings.PASSWORDS, nothing_stored, is_kept=False),
    Field("RequestForm", "reason", spellings.PARAGRAPHS, is_text(lambda: AccessRequest.objects.latest("pk").reason)),
    Field("RequestForm", "duration", spellings.DURATIONS, check_duration),
    Field("DecisionForm", "comment", spellings.LINES, is_text(lambda: Decision.objects.get().comment)),
    Field("DecisionForm", "duration", spellings.DURATIONS, check_approved_duration),
    Field(
        "DecisionForm", "attested", spellings.LINES, nothing_stored, is_kept=False, statuses=frozenset({302, 409, 422})
    ),
    Field("LogInForm", "username", spellings.or_hostile(spellings.ADDRESSES), nothing_stored, is_kept=False),
    Field("LogInForm", "password", spellings.PASSWORDS, nothing_stored, is_kept=False),
]


def test_no_text_field_is_left_out() -> None:
    """A new form, or a new field of one, has to be given spellings above."""
    found = set()
    for module in pkgutil.walk_packages(accessmgmt.forms.__path__, "accessmgmt.forms."):
        for name, made in inspect.getmembers(import_module(module.name), inspect.isclass):
            if not issubclass(made, forms.BaseForm) or made.__module__ != module.name:
                continue
            found |= {f"{name}.{each}" for each, kind in made.base_fields.items() if isinstance(kind, forms.CharField)}
    assert found == {str(each) for each in FIELDS}


# --- the property ---


@pytest.mark.parametrize("case", FIELDS, ids=str)
def test_what_is_stored_is_what_is_used_or_it_is_refused_beside_its_field(desk: Desk, case: Field) -> None:
    seen: dict[int, int] = {}

    @PROPERTY
    @given(typed=case.texts)
    def try_one(typed: str) -> None:
        with transaction.atomic():
            status = submit(desk, case, typed)
            seen[status] = seen.get(status, 0) + 1
            transaction.set_rollback(True)
        desk.client.force_login(desk.admin)

    try_one()
    if case.is_kept:
        assert seen.get(302), seen


def submit(desk: Desk, case: Field, typed: str) -> int:
    """Send one spelling; check what came of it; return the status."""
    if case.form == "LogInForm":
        desk.client.logout()
    response = desk.post(case.form, {**desk.base(case.form), **case.data, case.name: typed})
    status = response.status_code
    assert status in case.statuses, (status, typed)
    if status == 302:
        case.checks(desk, typed)
        saving_again_changes_nothing(desk, case)
    elif case.form == "MembersForm":
        check_members(desk, typed)
    if status == 422:
        refused_with_reasons(response)
    return status


def refused_with_reasons(response: HttpResponse) -> None:
    """Somewhere on the page stands why, and nothing of it is something that nobody can see."""
    context: Any = response.context  # type: ignore[attr-defined]
    shown = [context.get(name) for name in ("form", "members_form", "password_form")]
    if context.get("card"):
        shown.append(context["card"]["form"])
    errors = [text for form in shown if form is not None for texts in form.errors.values() for text in texts]
    assert errors
    for text in errors:
        assert text.strip()
        assert find_unseen(text, allowed="\n\t") is None, text


EDITED = {"ResourceForm": Resource, "AuthorizationForm": Authorization, "EndpointForm": Endpoint, "GroupForm": Group}


def saving_again_changes_nothing(desk: Desk, case: Field) -> None:
    """Open the form of what was just stored and send it as it is."""
    if case.form not in EDITED:
        return
    row: Any = EDITED[case.form].objects.latest("pk")
    url = reverse(f"accessmgmt:{row._meta.model_name}-edit", args=[row.pk])
    form = desk.client.get(url).context["form"]
    data = {name: box.value() for name in form.fields if (box := form[name]).value() not in (None, False)}
    before, events = list(type(row).objects.filter(pk=row.pk).values()), AuditEvent.objects.count()
    response = desk.client.post(url, {name: "on" if value is True else value for name, value in data.items()})
    assert response.status_code == 302, response.context["form"].errors
    after = list(type(row).objects.filter(pk=row.pk).values())
    assert [{**each, "updated_at": None} for each in after] == [{**each, "updated_at": None} for each in before]
    assert AuditEvent.objects.count() == events


# --- the export ---


def exported(texts: st.SearchStrategy[str], read: Callable[[str], str]) -> st.SearchStrategy[str]:
    """Return what the reader makes of the spellings that it takes; python-hcl2 cannot read `${` without its end."""

    def taken(text: str) -> str:
        try:
            return read(text)
        except ValueError:
            return ""
        except Exception as refusal:
            assert "InvalidError" in type(refusal).__name__  # noqa: PT017
            return ""

    return texts.map(taken).filter(lambda text: bool(text) and "${" not in text and "%{" not in text)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(data=st.data())
def test_the_export_says_what_is_stored(db: None, data: st.DataObject) -> None:
    def draw(texts: st.SearchStrategy[str], read: Callable[[str], str]) -> str:
        return data.draw(exported(texts, read))

    with transaction.atomic():
        tables = data.draw(
            st.lists(exported(st.sampled_from(spellings.NAMES), lambda t: read_entries([t], TABLE)[0]), min_size=1)
        )
        resource = make_resource(
            name=draw(spellings.LINES, lambda text: read_line(text, most=120)),
            host=draw(spellings.HOSTS, read_hosts),
            port=data.draw(st.integers(1, 65_535)),
            database_name=draw(spellings.OBJECTS, read_object_name),
            tls_root_cert=draw(spellings.pem_of(spellings.certificate().ca_pem), tidy_certificates),
        )
        authorization = make_authorization(
            description=draw(spellings.PARAGRAPHS, read_text),
            permissions={"grants": ["SELECT"], "schemas": ["public"], "tables": tables},
        )
        endpoint = make_endpoint(
            resource=resource, authorization=authorization, ttl=draw(spellings.DURATIONS, read_ttl)
        )
        members = data.draw(st.lists(exported(spellings.ADDRESSES, read_address), min_size=1, max_size=4, unique=True))
        make_group(name="everybody", members=members, endpoints=[endpoint])
        export = render(document_for(Scope()))
        found = read_hcl(export.text)
        [read_resource] = found["adaptive_resource"].values()
        assert read_resource["name"] == resource.name
        assert read_hosts(read_resource["host"]) == resource.host
        assert read_port(read_resource["port"]) == resource.port
        assert read_resource["database_name"] == resource.database_name
        assert [tidy_certificates(file.content) for file in export.files] == [resource.tls_root_cert]
        [read_authorization] = found["adaptive_authorization"].values()
        assert read_authorization["description"] == authorization.description
        assert read_permissions(read_authorization["permissions"]) == authorization.permissions
        [read_endpoint] = found["adaptive_endpoint"].values()
        assert parse_ttl(read_endpoint["ttl"]) == endpoint.ttl_seconds
        [read_group] = found["adaptive_group"].values()
        assert sorted(map(read_address, read_group["members"])) == sorted(members)
        assert GroupMember.objects.count() == len(members)
        transaction.set_rollback(True)
