"""The Secrets Manager of the demo: it gives what was stored, also after it died."""

import json

import boto3
import pytest

from devstack import aws
from devstack.process import processes_of


def read(server: aws.SecretsManager, name: str) -> dict[str, object]:
    client = boto3.session.Session().client(
        "secretsmanager",
        region_name=aws.REGION,
        endpoint_url=server.url,
        aws_access_key_id=aws.ACCESS_KEY_ID,
        aws_secret_access_key=aws.SECRET_ACCESS_KEY,
    )
    return json.loads(client.get_secret_value(SecretId=name)["SecretString"])


def test_secrets_are_there_again_after_a_crash(tmp_path):
    server = aws.SecretsManager(tmp_path / "aws", secrets={"db": {"username": "a", "port": 5432}})
    server.start()
    try:
        assert read(server, "db") == {"username": "a", "port": 5432}
        server.put("db", {"username": "b"})
        server.put("other", {"username": "c"})
        server.kill()
        assert not server.is_running
        server.start()
        assert read(server, "db") == {"username": "b"}
        assert read(server, "other") == {"username": "c"}
    finally:
        server.stop()
    assert processes_of(tmp_path) == []
    with pytest.raises(Exception, match="Could not connect"):
        read(server, "db")
