"""Resources: credentials and keys never come out, a stored one is not sent elsewhere, and the connection test."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accessmgmt.models import AuditEvent, Resource, TargetLook
from tests.factories import make_resource
from tests.looks import do_waiting
from tests.views import resource_form
from tests.views.resource_form import CREATE, HTMX, LIST, SECRET, TEST_UNSAVED, authority, ca_pem, form_of

tested = resource_form.tested

# --- AWS ---


def test_the_credential_section_swaps_and_keeps_what_was_typed(client_for, dave):
    page = client_for(dave).get(f"{CREATE}?use_aws_secrets=on&username=kept_name").content.decode()
    assert 'name="aws_region"' in page
    assert 'name="password"' not in page
    assert "kept_name" in page
    page = client_for(dave).get(f"{CREATE}?username=kept_name").content.decode()
    assert 'name="password"' in page
    assert 'name="aws_region"' not in page


def test_aws_needs_region_and_name_and_may_leave_out_the_rest(client_for, dave):
    empty = {"host": "", "database_name": "", "username": "", "password": ""}
    missing = client_for(dave).post(CREATE, form_of(use_aws_secrets="on", **empty))
    assert {"aws_region", "aws_secret_name"} <= missing.context["form"].errors.keys()
    client_for(dave).post(
        CREATE, form_of(use_aws_secrets="on", aws_region="us-east-1", aws_secret_name="pg-credentials", **empty)
    )
    resource = Resource.objects.get()
    assert (resource.use_aws_secrets, resource.aws_region, resource.password) == (True, "us-east-1", "")


def test_an_aws_key_has_two_parts(client_for, dave):
    aws = {"use_aws_secrets": "on", "aws_region": "us-east-1", "aws_secret_name": "pg"}
    response = client_for(dave).post(CREATE, form_of(**aws, aws_access_key_id="AKIAEXAMPLE"))
    assert "two parts" in response.context["form"].errors["aws_secret_access_key"][0]
    assert "AKIAEXAMPLE" not in response.content.decode()


def test_turning_to_aws_removes_the_password_and_back_removes_the_keys(client_for, dave):
    resource = make_resource(password=SECRET)
    url = reverse("accessmgmt:resource-edit", args=[resource.pk])
    aws = {"use_aws_secrets": "on", "aws_region": "us-east-1", "aws_secret_name": "pg"}
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "aws-secret-text"}
    assert client_for(dave).post(url, form_of(resource, **aws, **keys)).status_code == 302
    resource.refresh_from_db()
    assert (resource.password, resource.aws_secret_access_key) == ("", "aws-secret-text")
    page = client_for(dave).get(url).content.decode()
    assert "aws-secret-text" not in page
    assert "AKIAEXAMPLE" not in page
    assert client_for(dave).post(url, form_of(resource, password="new-password")).status_code == 302
    resource.refresh_from_db()
    assert (resource.password, resource.aws_secret_access_key, resource.aws_region) == ("new-password", "", "")


# --- secrets ---


def test_an_empty_secret_keeps_what_is_stored_and_clear_removes_it(client_for, dave):
    made = authority().client("portal")
    resource = make_resource(password=SECRET, tls_cert_file=made.certificate_pem, tls_key_file=made.key_pem)
    url = reverse("accessmgmt:resource-edit", args=[resource.pk])
    kept = {"tls_cert_file": made.certificate_pem}
    assert client_for(dave).post(url, form_of(resource, description="new", **kept)).status_code == 302
    resource.refresh_from_db()
    assert (resource.password, resource.tls_key_file, resource.description) == (SECRET, made.key_pem, "new")
    assert client_for(dave).post(url, form_of(resource, clear_password="on", **kept)).status_code == 302
    resource.refresh_from_db()
    assert resource.password == ""
    no_way_in = client_for(dave).post(url, form_of(resource))
    assert no_way_in.status_code == 422
    assert "password" in no_way_in.context["form"].errors


def test_secrets_are_on_no_page_and_in_no_event(client_for, dave, tested):
    made = authority().client("portal")
    key_line = made.key_pem.splitlines()[1]
    client = client_for(dave)
    client.post(
        CREATE,
        form_of(tls_root_cert=made.ca_pem, tls_cert_file=made.certificate_pem, tls_key_file=made.key_pem),
    )
    resource = Resource.objects.get()
    assert resource.password == SECRET
    edit = reverse("accessmgmt:resource-edit", args=[resource.pk])
    new = form_of(resource, port="99999", password="another-Secret-1", tls_key_file=made.key_pem)
    pages = [
        client.get(LIST),
        client.get(reverse("accessmgmt:resource-detail", args=[resource.pk])),
        client.get(edit),
        client.post(edit, new),
        client.post(TEST_UNSAVED, {**new, "port": "5432"}),
        client.post(reverse("accessmgmt:resource-test", args=[resource.pk]), **HTMX),
        *looked_at(client),
        client.get(reverse("accessmgmt:audit-list")),
        client.get(reverse("accessmgmt:terraform")),
    ]
    for page in pages:
        text = page.content.decode()
        assert page.status_code in {200, 422}
        assert SECRET not in text
        assert "another-Secret-1" not in text
        assert key_line not in text
    assert "Write it again" in pages[3].content.decode()
    details = str(list(AuditEvent.objects.values_list("details", flat=True)))
    assert SECRET not in details
    assert key_line not in details


def looked_at(client: Client) -> list[HttpResponse]:
    """Return every page of a look, before and after a worker was at it."""
    pages = []
    for _ in range(2):
        for look in TargetLook.objects.all():
            pages.append(client.get(reverse("accessmgmt:look-progress", args=[look.pk])))
            pages.append(client.get(reverse("accessmgmt:look", args=[look.pk]), follow=True))
        do_waiting()
    return pages


OTHER_WAYS = [{"host": "evil.example.com"}, {"port": "6432"}, {"ssl_mode": "disable"}, {"tls_root_cert": ""}]


@pytest.mark.parametrize("change", OTHER_WAYS, ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("act", ["save", "test"])
def test_a_stored_password_is_not_sent_another_way(client_for, dave, tested, change, act):
    resource = make_resource(password=SECRET, ssl_mode="verify-full", tls_root_cert=ca_pem(), host="db1.internal")
    url = TEST_UNSAVED if act == "test" else reverse("accessmgmt:resource-edit", args=[resource.pk])
    response = client_for(dave).post(url, form_of(resource, **change))
    assert response.status_code == 422
    assert "not sent to another server" in response.context["form"].errors["password"][0]
    assert not do_waiting()
    resource.refresh_from_db()
    assert (resource.host, resource.port, resource.ssl_mode) == ("db1.internal", 5432, "verify-full")
    written = client_for(dave).post(url, form_of(resource, password=SECRET, **change))
    assert written.status_code == (200 if act == "test" else 302)


def test_stored_aws_keys_are_not_used_for_another_server(client_for, dave, tested):
    aws = {"use_aws_secrets": True, "aws_region": "us-east-1", "aws_secret_name": "pg"}
    resource = make_resource(
        password="", aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="aws-secret-text", **aws
    )
    data = form_of(resource, use_aws_secrets="on", aws_region="us-east-1", aws_secret_name="pg")
    assert client_for(dave).post(TEST_UNSAVED, data).status_code == 200
    moved = client_for(dave).post(TEST_UNSAVED, {**data, "host": "evil.example.com"})
    assert "not sent to another server" in moved.context["form"].errors["aws_secret_access_key"][0]
    assert len(do_waiting()) == len(tested) == 1
    assert (tested[0].aws_access_key_id, tested[0].aws_secret_access_key) == ("AKIAEXAMPLE", "aws-secret-text")


@pytest.mark.parametrize("change", [*OTHER_WAYS, {"host": "evil.example.com", "clear_aws_keys": "on"}], ids=str)
@pytest.mark.parametrize("act", ["save", "test"])
def test_a_secret_that_the_portal_may_read_by_itself_is_not_sent_another_way(client_for, dave, tested, change, act):
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "x"} if "clear_aws_keys" in change else {}
    resource = make_resource(
        password="",
        use_aws_secrets=True,
        aws_region="us-east-1",
        aws_secret_name="pg",
        host="db1.internal",
        ssl_mode="verify-full",
        tls_root_cert=ca_pem(),
        **keys,
    )
    url = TEST_UNSAVED if act == "test" else reverse("accessmgmt:resource-edit", args=[resource.pk])
    data = form_of(resource, use_aws_secrets="on", aws_region="us-east-1", aws_secret_name="pg", **change)
    response = client_for(dave).post(url, data)
    assert response.status_code == 422
    assert "not sent to another server" in response.context["form"].errors["may_send_secret"][0]
    assert 'name="may_send_secret"' in response.content.decode()
    assert not do_waiting()
    resource.refresh_from_db()
    assert (resource.host, resource.port, resource.ssl_mode) == ("db1.internal", 5432, "verify-full")
    confirmed = client_for(dave).post(url, {**data, "may_send_secret": "on"})
    assert confirmed.status_code == (200 if act == "test" else 302)


# --- the connection test ---


def progress_of(client: Client, look: TargetLook) -> str:
    """Return what the page gets when it asks again."""
    return client.get(reverse("accessmgmt:look-progress", args=[look.pk]), **HTMX).content.decode()


def test_the_form_is_tested_without_being_stored(client_for, dave, tested):
    client = client_for(dave)
    page = client.post(TEST_UNSAVED, form_of(name=""), **HTMX).content.decode()
    assert page.strip().startswith('<div id="ladder"')
    assert "Waiting for a worker" in page
    assert "hx-trigger" in page
    assert not tested, "the web has asked nobody"
    [look] = do_waiting()
    page = progress_of(client, look)
    assert "Name resolves" in page
    assert "sudo ufw allow 5432/tcp" in page
    assert "hx-trigger" not in page, "nobody asks again when it is over"
    assert (tested[0].pk, tested[0].host, tested[0].password) == (None, "db1.internal.company.net", SECRET)
    assert not Resource.objects.exists()


def test_an_existing_resource_is_tested_with_its_stored_password(client_for, dave, tested):
    resource = make_resource(password=SECRET)
    client_for(dave).post(TEST_UNSAVED, form_of(resource, database_name="other"), **HTMX)
    do_waiting()
    assert (tested[0].pk, tested[0].password, tested[0].database_name) == (None, SECRET, "other")
    resource.refresh_from_db()
    assert resource.database_name == "production"


def test_an_incomplete_form_is_not_tested_but_says_what_is_missing(client_for, dave, tested):
    response = client_for(dave).post(TEST_UNSAVED, form_of(host="", port="99999"), **HTMX)
    assert response.status_code == 422
    page = response.content.decode()
    assert 'href="#id_host"' in page
    assert "A port is a number from 1 to 65535." in page
    assert not do_waiting()


def test_without_htmx_the_whole_form_comes_back_with_a_link_to_the_test(client_for, dave, tested):
    client = client_for(dave)
    page = client.post(TEST_UNSAVED, form_of()).content.decode()
    assert "<!DOCTYPE html>" in page
    assert f'action="{CREATE}"' in page
    [look] = TargetLook.objects.all()
    url = reverse("accessmgmt:look", args=[look.pk])
    assert f'<a href="{url}"' in page
    assert 'http-equiv="refresh"' not in page, "what was typed would be lost"
    assert '<noscript><meta http-equiv="refresh"' in client.get(url).content.decode()
    do_waiting()
    page = client.get(url).content.decode()
    assert "Port answers" in page
    assert 'http-equiv="refresh"' not in page


def test_a_stored_resource_is_tested_from_its_page(client_for, dave, erin, tested):
    resource = make_resource()
    url, detail = (reverse(f"accessmgmt:resource-{name}", args=[resource.pk]) for name in ("test", "detail"))
    assert client_for(erin).post(url).status_code == 403
    assert "Waiting for a worker" in client_for(dave).post(url, **HTMX).content.decode()
    assert client_for(dave).post(url)["Location"] == detail
    assert '<noscript><meta http-equiv="refresh"' in client_for(erin).get(detail).content.decode()
    [look] = do_waiting()
    assert "Port answers" in progress_of(client_for(dave), look)
    page = client_for(erin).get(detail).content.decode()
    assert "Port answers" in page
    assert f"by {dave}" in page, "who looks later sees who tested"
    assert client_for(dave).get(url).status_code == 405
