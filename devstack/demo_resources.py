"""The guide's "complete production example": how its two resources are reached, and where their credentials are."""

from devstack import aws
from devstack.certs import ClientCertificate
from devstack.demo_data import DATABASE
from devstack.postgres import PostgresServer
from devstack.recipe import LOGIN_ROLE

PRIMARY_SECRET, REPLICA_SECRET = "postgres-prod-credentials", "postgres-replica-credentials"
STANDBY_HBA = tuple(f"hostssl {database} all 127.0.0.0/8 scram-sha-256" for database in ("all", "replication"))
# The portal's own login shows its client certificate on the primary; people's do not need one.
PRIMARY_HBA = (f"hostssl all {LOGIN_ROLE} 127.0.0.0/8 scram-sha-256 clientcert=verify-full", *STANDBY_HBA)


def secret_of(port: int, password: str) -> dict[str, str | int]:
    """Return a secret in the guide's format."""
    return {
        "username": LOGIN_ROLE,
        "password": password,
        "engine": "postgres",
        "host": "localhost",
        "port": port,
        "dbname": DATABASE,
    }


def facts_of(
    server: PostgresServer, secret: str, ca_pem: str, client: ClientCertificate | None = None
) -> dict[str, object]:
    """Return a resource's fields: the credential is in the secret alone, as in the guide."""
    return {
        "host": "localhost",
        "port": server.port,
        "database_name": DATABASE,
        "tls_root_cert": ca_pem,
        "tls_cert_file": client.certificate_pem if client else "",
        "tls_key_file": client.key_pem if client else "",
        "use_aws_secrets": True,
        "aws_region": aws.REGION,
        "aws_secret_name": secret,
        "aws_access_key_id": aws.ACCESS_KEY_ID,
        "aws_secret_access_key": aws.SECRET_ACCESS_KEY,
    }
