"""Resources: who sees them, what the form refuses, that secrets stay inside, and where a stored secret may go."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.models import AuditEvent, Resource
from tests.factories import make_endpoint, make_grant, make_resource
from tests.views import resource_form
from tests.views.resource_form import CREATE, HTMX, LIST, SECRET, authority, ca_pem, form_of

tested = resource_form.tested


def test_unknown_resource_is_404(client_for, dave):
    for name in ("detail", "edit", "delete"):
        assert client_for(dave).get(reverse(f"accessmgmt:resource-{name}", args=[4711])).status_code == 404


# --- the list ---


def test_list_is_empty_at_first_and_says_what_to_do(client_for, dave, erin):
    assert "New resource" in client_for(dave).get(LIST).content.decode()
    assert "New resource" not in client_for(erin).get(LIST).content.decode()


def test_list_searches_filters_sorts_and_counts(client_for, dave):
    primary = make_resource(name="alpha", host="a.internal", ssl_mode="verify-full")
    make_resource(name="beta", host="b.internal", primary=primary)
    make_grant(endpoint=make_endpoint(resource=primary))
    make_grant("ended", endpoint=make_endpoint(resource=primary))
    client = client_for(dave)

    def names(query: str) -> list[str]:
        return [row.name for row in client.get(LIST + query).context["page"]]

    assert names("?q=B.INTERNAL") == ["beta"]
    assert names("?ssl_mode=verify-full") == ["alpha"]
    assert names("?ssl_mode=none&kind=standby") == ["beta"]
    assert names("?kind=primary") == ["alpha"]
    assert names("?sort=-name") == ["beta", "alpha"]
    assert names("?sort=-grants") == ["alpha", "beta"]
    assert names("?sort=password") == ["alpha", "beta"]
    assert names("?q=nothing%00here") == []
    alpha = client.get(LIST).context["page"][0]
    assert (alpha.endpoint_count, alpha.live_grant_count) == (2, 1)


def test_list_answers_htmx_with_the_rows_alone(client_for, dave):
    make_resource(name="alpha")
    response = client_for(dave).get(LIST, **HTMX)
    assert response.content.decode().strip().startswith('<div class="card" id="rows">')
    assert "HX-Request" in response["Vary"]
    whole = client_for(dave).get(LIST, **HTMX, HTTP_HX_HISTORY_RESTORE_REQUEST="true")
    assert "<!DOCTYPE html>" in whole.content.decode()


def test_list_has_pages_of_50_and_the_queries_do_not_grow(client_for, dave):
    client = client_for(dave)
    make_endpoint(resource=make_resource(primary=make_resource()))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(LIST)
    for _ in range(51):
        make_grant(endpoint=make_endpoint(resource=make_resource(primary=make_resource())))
    with CaptureQueriesContext(connection) as many:
        page = client.get(LIST).context["page"]
    assert len(many) == len(few)
    assert (len(page), page.paginator.num_pages) == (50, 3)


# --- the form ---


def test_a_resource_is_created_with_everything(client_for, dave):
    primary = make_resource(name="main")
    made = authority().client("portal")
    response = client_for(dave).post(
        CREATE,
        form_of(
            host=" db1.internal , 10.0.0.7,::1 ",
            ssl_mode="verify-full",
            tls_root_cert=made.ca_pem.replace("\n", "\r\n"),
            tls_cert_file=made.certificate_pem,
            tls_key_file=made.key_pem,
            max_connections="100",
            min_connections="10",
            primary=str(primary.pk),
        ),
    )
    resource = Resource.objects.get(name="postgres-production")
    assert response["Location"] == reverse("accessmgmt:resource-detail", args=[resource.pk])
    assert resource.host == "db1.internal,10.0.0.7,::1"
    assert (resource.password, resource.tls_key_file.strip()) == (SECRET, made.key_pem.strip())
    assert resource.tls_root_cert == made.ca_pem.strip() + "\n"
    assert (resource.max_connections, resource.min_connections, resource.primary) == (100, 10, primary)
    assert AuditEvent.objects.get(action="resource.created").actor_email == dave.email


def test_what_is_left_out_is_stored_as_absent(client_for, dave):
    client_for(dave).post(CREATE, form_of())
    resource = Resource.objects.get()
    assert (resource.ssl_mode, resource.max_connections, resource.min_connections) == ("", None, None)


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("port", "99999", "A port is a number from 1 to 65535."),
        ("port", "0", "A port is a number from 1 to 65535."),
        ("port", "", "Write the port"),
        ("port", "abc", "A port is a number from 1 to 65535."),
        ("host", "", "Write the host"),
        ("host", "postgres://db1.internal/production", "is a URL"),
        ("host", "db1 internal", "has spaces in it"),
        ("host", "db1.internal,,db2", "empty"),
        ("host", "db1.internal:5432", "has a port in it"),
        ("host", "/var/run/postgresql", "socket's folder on one machine"),
        ("host", "db1;drop", "neither a host name nor an address"),
        ("database_name", "", "Write the name of the database"),
        ("database_name", "ä" * 40, "longer than 63 bytes"),
        ("username", "", "Write the user name"),
        ("password", "", "Write the password"),
        ("name", "", "Give the resource a name"),
        ("tls_root_cert", "not a certificate", "not a certificate in PEM form"),
        ("tls_root_cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "cannot be read"),
        ("tls_cert_file", "hello", "not a certificate in PEM form"),
        ("ssl_mode", "allow", "Select a valid choice"),
        ("max_connections", "-1", "Write at least 1"),
    ],
)
def test_bad_input_is_kept_with_the_error_beside_its_field(client_for, dave, field, text, message):
    response = client_for(dave).post(CREATE, form_of(description="Kept text", **{field: text}))
    assert response.status_code == 422
    form = response.context["form"]
    assert message in " ".join(form.errors[field])
    page = response.content.decode()
    assert f'id="id_{field}-error"' in page
    assert "Kept text" in page
    assert SECRET not in page
    assert not Resource.objects.exists()
    assert not AuditEvent.objects.exists()


def test_the_least_connections_are_at_most_the_most(client_for, dave):
    response = client_for(dave).post(CREATE, form_of(max_connections="5", min_connections="6"))
    assert response.context["form"].errors["min_connections"] == ["This is more than the most connections, 5."]


def test_a_name_is_taken_whatever_its_case(client_for, dave):
    make_resource(name="Postgres-Production")
    response = client_for(dave).post(CREATE, form_of())
    assert "already one called “Postgres-Production”" in response.context["form"].errors["name"][0]
    assert Resource.objects.count() == 1


def test_its_own_name_is_no_conflict(client_for, dave):
    resource = make_resource(name="main")
    url = reverse("accessmgmt:resource-edit", args=[resource.pk])
    assert client_for(dave).post(url, form_of(resource, name="Main")).status_code == 302


# --- standby ---


def test_a_server_is_neither_its_own_primary_nor_in_a_circle(client_for, dave):
    first = make_resource(name="first")
    second = make_resource(name="second", primary=first)
    third = make_resource(name="third", primary=second)
    url = reverse("accessmgmt:resource-edit", args=[first.pk])
    itself = client_for(dave).post(url, form_of(first, primary=str(first.pk)))
    assert "not its own standby" in itself.context["form"].errors["primary"][0]
    circle = client_for(dave).post(url, form_of(first, primary=str(third.pk)))
    assert "is itself a standby of this resource" in circle.context["form"].errors["primary"][0]
    first.refresh_from_db()
    assert first.primary is None


# --- certificates ---


def test_a_key_must_belong_to_its_certificate(client_for, dave):
    mine, other = authority().client("portal"), authority().client("other")
    response = client_for(dave).post(CREATE, form_of(tls_cert_file=mine.certificate_pem, tls_key_file=other.key_pem))
    assert "does not belong to the certificate" in response.context["form"].errors["tls_key_file"][0]
    assert other.key_pem.splitlines()[1] not in response.content.decode()
    assert not Resource.objects.exists()


@pytest.mark.parametrize("field", ["tls_root_cert", "tls_cert_file"])
@pytest.mark.parametrize("how", ["pasted", "uploaded", "bundled", "cut off"])
def test_a_key_in_a_certificate_field_is_refused_and_not_shown(client_for, dave, field, how):
    made = authority().client("portal")
    text = {"bundled": made.certificate_pem + made.key_pem, "cut off": made.key_pem[:-20]}.get(how, made.key_pem)
    changes = {f"{field}_upload": SimpleUploadedFile("a.pem", text.encode())} if how == "uploaded" else {field: text}
    response = client_for(dave).post(CREATE, form_of(**changes))
    assert response.status_code == 422
    assert response.context["form"].errors[field]
    assert made.key_pem.splitlines()[1] not in response.content.decode()


def test_a_certificate_needs_its_key_and_a_key_its_certificate(client_for, dave):
    made = authority().client("portal")
    alone = client_for(dave).post(CREATE, form_of(tls_cert_file=made.certificate_pem))
    assert "needs its key" in alone.context["form"].errors["tls_key_file"][0]
    key = client_for(dave).post(CREATE, form_of(tls_key_file=made.key_pem))
    assert "needs its certificate" in key.context["form"].errors["tls_cert_file"][0]


def test_certificates_can_be_uploaded_and_are_kept_when_something_else_is_wrong(client_for, dave):
    upload = SimpleUploadedFile("ca.pem", ca_pem().encode())
    response = client_for(dave).post(CREATE, form_of(port="99999", tls_root_cert_upload=upload))
    assert response.context["form"]["tls_root_cert"].value() == ca_pem().strip() + "\n"
    upload = SimpleUploadedFile("ca.pem", ca_pem().encode())
    client_for(dave).post(CREATE, form_of(tls_root_cert_upload=upload))
    assert Resource.objects.get().tls_root_cert == ca_pem().strip() + "\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"A" * (600 * 1024)])
def test_an_upload_that_is_no_pem_is_refused(client_for, dave, content):
    response = client_for(dave).post(CREATE, form_of(tls_root_cert_upload=SimpleUploadedFile("ca.der", content)))
    assert response.status_code == 422
    assert response.context["form"].errors["tls_root_cert"]


def test_pasting_shows_at_once_what_the_certificate_says(client_for, dave, tested):
    url = reverse("accessmgmt:resource-certificate")
    page = client_for(dave).post(url, {"tls_root_cert": ca_pem()}, **HTMX).content.decode()
    assert "Company CA" in page
    assert "days left" in page
    bad = client_for(dave).post(url, {"tls_root_cert": "nonsense"}, **HTMX).content.decode()
    assert "not a certificate in PEM form" in bad
    assert not tested


def test_detail_shows_the_facts_of_the_certificates(client_for, erin):
    made = authority().client("portal")
    resource = make_resource(tls_root_cert=made.ca_pem, tls_cert_file=made.certificate_pem, tls_key_file=made.key_pem)
    page = client_for(erin).get(reverse("accessmgmt:resource-detail", args=[resource.pk])).content.decode()
    assert "Company CA" in page
    assert "Its key is stored, encrypted." in page
    assert made.key_pem.splitlines()[1] not in page


# --- deleting ---


def test_deleting_asks_first_and_says_kindly_why_not(client_for, dave):
    used, free = make_resource(name="used"), make_resource(name="free")
    make_endpoint(resource=used)
    client = client_for(dave)
    assert (
        "Delete the resource “free”?"
        in client.get(reverse("accessmgmt:resource-delete", args=[free.pk])).content.decode()
    )
    assert Resource.objects.count() == 2
    refused = client.post(reverse("accessmgmt:resource-delete", args=[used.pk]))
    assert refused.status_code == 409
    assert "still used by endpoints" in refused.content.decode()
    assert client.post(reverse("accessmgmt:resource-delete", args=[free.pk]))["Location"] == LIST
    assert list(Resource.objects.values_list("name", flat=True)) == ["used"]
