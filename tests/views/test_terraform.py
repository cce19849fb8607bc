"""The Terraform page: who sees it, what a scope covers, downloads without secrets."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.models import Group, Resource
from devstack.certs import CertificateAuthority
from tests.factories import make_authorization, make_endpoint, make_group, make_resource

PAGE = reverse("accessmgmt:terraform")
TF = reverse("accessmgmt:terraform-download")
ZIP = reverse("accessmgmt:terraform-download-zip")


@pytest.fixture
def setup_rows(db: None) -> None:
    """Two resources, a group on each, one group on both, and an authorization that nobody uses."""
    made = CertificateAuthority("Company CA").client("portal")
    main = make_resource(
        name="main",
        password="the-Main-password",
        ssl_mode="verify-full",
        tls_root_cert=made.ca_pem,
        tls_cert_file=made.certificate_pem,
        tls_key_file=made.key_pem,
    )
    replica = make_resource(name="replica", aws_secret_access_key="the-aws-secret")
    read, spare = make_authorization(name="read"), make_authorization(name="spare")
    assert spare.pk
    on_main = make_endpoint(
        name="on-main", resource=main, authorization=read, is_jit_enabled=True, approvers=["lead@company.com"]
    )
    on_replica = make_endpoint(name="on-replica", resource=replica, authorization=read, ttl="12h")
    make_group(name="developers", members=["dev1@company.com"], endpoints=[on_main])
    make_group(name="analysts", members=["analyst1@company.com"], endpoints=[on_replica])
    make_group(name="everybody", members=["dev1@company.com"], endpoints=[on_main, on_replica])


def blocks(text: str) -> set[str]:
    """Return the objects that HCL text declares: "resource.main", ..."""
    heads = [line.split('"') for line in text.splitlines() if line.startswith('resource "adaptive_')]
    return {f"{head[1].removeprefix('adaptive_')}.{head[3]}" for head in heads}


def test_it_says_what_to_do_first(client_for, dave):
    assert "There is nothing to export yet" in client_for(dave).get(PAGE).content.decode()


def test_everything_is_exported(client_for, dave, setup_rows):
    text = client_for(dave).get(TF).content.decode()
    assert blocks(text) == {
        "resource.main",
        "resource.replica",
        "authorization.read",
        "authorization.spare",
        "endpoint.on_main",
        "endpoint.on_replica",
        "group.developers",
        "group.analysts",
        "group.everybody",
    }
    assert "required_providers" in text
    assert "required_providers" not in client_for(dave).get(TF + "?provider=no").content.decode()


def test_a_resource_brings_what_uses_it(client_for, dave, setup_rows):
    main = Resource.objects.get(name="main")
    response = client_for(dave).get(f"{PAGE}?scope=resource:{main.pk}")
    text = response.context["export"].text
    assert blocks(text) == {
        "resource.main",
        "authorization.read",
        "endpoint.on_main",
        "group.developers",
        "group.everybody",
    }
    assert any("on-replica" in loss.what for loss in response.context["export"].losses)
    assert "thing" in response.content.decode()


def test_a_group_brings_what_it_is_wired_to(client_for, dave, setup_rows):
    group = Group.objects.get(name="analysts")
    text = client_for(dave).get(f"{TF}?scope=group:{group.pk}").content.decode()
    assert blocks(text) == {"resource.replica", "authorization.read", "endpoint.on_replica", "group.analysts"}


@pytest.mark.parametrize("scope", ["resource:4711", "group:abc", "user:1", "resource:", "group:99999999999999999999"])
def test_an_unknown_scope_is_404(client_for, dave, setup_rows, scope):
    for url in (PAGE, TF, ZIP):
        assert client_for(dave).get(url, {"scope": scope}).status_code == 404


def test_no_secret_leaves_the_portal(client_for, dave, setup_rows):
    client = client_for(dave)
    key_line = Resource.objects.get(name="main").tls_key_file.splitlines()[1]
    archive = zipfile.ZipFile(io.BytesIO(client.get(ZIP).content))
    texts = [client.get(PAGE).content.decode(), client.get(TF).content.decode()]
    texts += [archive.read(name).decode() for name in archive.namelist()]
    for text in texts:
        assert "the-Main-password" not in text
        assert "the-aws-secret" not in text
        assert key_line not in text
    assert "var.main_password" in texts[1]


def test_the_archive_holds_the_text_and_the_certificates(client_for, dave, setup_rows):
    response = client_for(dave).get(ZIP)
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.namelist() == ["access-portal.tf", "certs/main-ca.pem", "certs/main-client.pem"]
    assert archive.read("access-portal.tf").decode() == client_for(dave).get(TF).content.decode()
    assert "BEGIN CERTIFICATE" in archive.read("certs/main-ca.pem").decode()
    assert "PRIVATE KEY" not in archive.read("certs/main-client.pem").decode()
    assert response["Content-Disposition"] == 'attachment; filename="access-portal.zip"'


def test_the_same_set_up_gives_the_same_bytes(client_for, dave, setup_rows):
    client = client_for(dave)
    assert client.get(TF).content == client.get(TF).content
    assert client.get(ZIP).content == client.get(ZIP).content


def test_the_page_shows_exactly_the_text(client_for, dave, setup_rows):
    response = client_for(dave).get(PAGE)
    lines = ["".join(text for _, text in line) for line in response.context["lines"]]
    assert lines == client_for(dave).get(TF).content.decode().splitlines()
    page = response.content.decode()
    assert '<span class="hcl-keyword">resource</span>' in page
    assert f'href="{ZIP}?scope=all&amp;provider=yes"' in page


def test_names_are_escaped(client_for, dave):
    make_resource(name="<b>x</b>")
    assert "<b>x" not in client_for(dave).get(PAGE).content.decode()


def test_a_long_text_is_cut_on_the_page_alone(client_for, dave, setup_rows, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("accessmgmt.views.terraform.MOST_SHOWN_LINES", 10)
    response = client_for(dave).get(PAGE)
    assert len(response.context["lines"]) == 10
    assert "more lines are in the download" in response.content.decode()


def test_the_queries_do_not_grow(client_for, dave, setup_rows):
    client = client_for(dave)
    with CaptureQueriesContext(connection) as few:
        client.get(TF)
    for _ in range(20):
        make_group(members=["a@company.com"], endpoints=[make_endpoint(approvers=["b@company.com"])])
    with CaptureQueriesContext(connection) as many:
        client.get(TF)
    assert len(many) == len(few)


def test_htmx_gets_the_export_alone(client_for, dave, setup_rows):
    page = client_for(dave).get(PAGE, HTTP_HX_REQUEST="true").content.decode()
    assert page.strip().startswith('<div id="export">')
