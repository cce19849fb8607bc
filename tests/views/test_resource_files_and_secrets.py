"""Resources: what a secret in AWS leaves to say, and what files people upload."""

from __future__ import annotations

import ssl
import tempfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accessmgmt.models import Resource
from tests.views.resource_form import CREATE, authority, ca_pem, form_of

AWS = {
    "use_aws_secrets": "on", "host": "", "port": "", "database_name": "", "username": "", "password": "",
    "aws_region": "us-east-1", "aws_secret_name": "postgres-credentials",
}  # fmt: skip
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"


def test_the_port_may_be_left_to_the_secret(client_for, dave):
    client = client_for(dave)
    assert client.get(CREATE).context["form"]["port"].value() is None  # nothing that would win over the secret's
    assert client.post(CREATE, form_of(**AWS)).status_code == 302
    resource = Resource.objects.get()
    assert (resource.port, resource.as_target().port) == (None, 0)
    page = client.get(reverse("accessmgmt:resource-detail", args=[resource.pk])).content.decode()
    assert "<dt>Port</dt><dd>from the AWS secret</dd>" in page
    assert client.post(CREATE, form_of(**{**AWS, "name": "own", "port": "6543"})).status_code == 302
    assert Resource.objects.get(name="own").as_target().port == 6543


def test_without_a_secret_the_port_is_needed(client_for, dave):
    response = client_for(dave).post(CREATE, form_of(port=""))
    assert response.context["form"].errors["port"] == ["Write the port, for example 5432."]


def test_an_arn_fills_the_region_and_has_to_agree_with_it(client_for, dave):
    client = client_for(dave)
    response = client.post(CREATE, form_of(**{**AWS, "aws_secret_name": ARN}))
    assert response.context["form"].errors["aws_region"][0].startswith("The ARN is of the region eu-west-1, not of us-")
    assert client.post(CREATE, form_of(**{**AWS, "aws_secret_name": ARN, "aws_region": ""})).status_code == 302
    assert Resource.objects.get().aws_region == "eu-west-1"


@pytest.mark.parametrize("region", ["Frankfurt", "us east 1", "us-east"])
def test_a_region_that_cannot_be_is_refused(client_for, dave, region):
    response = client_for(dave).post(CREATE, form_of(**{**AWS, "aws_region": region}))
    assert response.status_code == 422
    assert "is not the code of an AWS region" in response.context["form"].errors["aws_region"][0]


def test_a_file_is_kept_in_memory_and_bounded(client_for, dave, monkeypatch, tmp_path):
    """A key is among what people upload: nothing of it may reach a disk, however large it is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # whoever wrote there would fail
    key = authority().client("portal").key_pem
    upload = SimpleUploadedFile("client.key", (key + "x" * 3_000_000).encode())
    response = client_for(dave).post(CREATE, form_of(tls_key_file_upload=upload))
    assert response.status_code == 422
    assert response.context["form"].errors["tls_key_file"] == ["The file is too large to be a certificate or a key."]
    assert key.split("\n")[1] not in response.content.decode()


@pytest.mark.parametrize("spelling", ["der", "utf-16", "joined"])
def test_certificates_are_taken_from_files_of_every_kind(client_for, dave, spelling):
    pem = ca_pem()
    content = {
        "der": ssl.PEM_cert_to_DER_cert(pem),
        "utf-16": pem.encode("utf-16"),
        "joined": pem.replace("\n", " ").encode(),
    }[spelling]
    client = client_for(dave)
    response = client.post(CREATE, form_of(tls_root_cert_upload=SimpleUploadedFile("ca.cer", content)))
    assert response.status_code == 302
    assert Resource.objects.get().tls_root_cert == pem
