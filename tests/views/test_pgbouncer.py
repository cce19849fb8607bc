"""The PgBouncer of a resource: who sees it, what can be downloaded, and that no secret is in it."""

from __future__ import annotations

from django.urls import reverse

from tests.factories import make_resource


def page_of(resource):
    return reverse("accessmgmt:resource-pgbouncer", args=[resource.pk])


def test_the_page_has_each_file_with_the_resource_s_settings(client_for, dave):
    resource = make_resource(
        max_connections=100, min_connections=10, ssl_mode="verify-full", tls_root_cert="-----BEGIN CERTIFICATE-----"
    )
    text = client_for(dave).get(page_of(resource)).content.decode()
    for name in ("pgbouncer.ini", "userlist.txt", "auth_query.sql", "server-ca.pem"):
        assert f"?download={name}" in text
    assert "max_db_connections = 100" in text
    assert "the-admin-password" not in text
    assert 'data-copy="#file-pgbouncerini"' in text
    assert 'id="file-pgbouncerini"' in text


def test_a_download_is_a_file(client_for, dave):
    resource = make_resource()
    response = client_for(dave).get(page_of(resource), {"download": "pgbouncer.ini"})
    assert response["Content-Disposition"] == 'attachment; filename="pgbouncer.ini"'
    assert "dbname=production" in response.content.decode()
    assert client_for(dave).get(page_of(resource), {"download": "../x"}).status_code == 404
    assert client_for(dave).get(page_of(resource), {"download": "server-ca.pem"}).status_code == 404


def test_the_resource_s_page_leads_there(client_for, dave):
    resource = make_resource()
    detail = client_for(dave).get(reverse("accessmgmt:resource-detail", args=[resource.pk]))
    assert page_of(resource) in detail.content.decode()


def test_unknown_resource_is_404(client_for, dave):
    assert client_for(dave).get(reverse("accessmgmt:resource-pgbouncer", args=[4711])).status_code == 404
