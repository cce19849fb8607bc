"""The guide's "Complete Production Example", entered by hand, with the certificates of a test authority."""

from accessmgmt.domain.hcl.document import (
    AuthorizationSpec,
    Document,
    EndpointSpec,
    GroupSpec,
    ResourceSpec,
)

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0E=\n-----END CERTIFICATE-----\n"
CLIENT_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0M=\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----\n"

PRODUCTION = ResourceSpec(
    name="postgres-production",
    host="postgres-primary.internal.company.net",
    database_name="production",
    use_aws_secrets=True,
    aws_region="us-east-1",
    aws_secret_name="postgres-prod-credentials",
    has_aws_keys=True,
    ssl_mode="verify-full",
    tls_root_cert=CERTIFICATE,
    tls_cert_file=CLIENT_CERTIFICATE,
    tls_key_file=PRIVATE_KEY,
    max_connections=100,
    min_connections=20,
)
REPLICA = ResourceSpec(
    name="postgres-read-replica",
    host="postgres-replica.internal.company.net",
    database_name="production",
    use_aws_secrets=True,
    aws_region="us-east-1",
    aws_secret_name="postgres-replica-credentials",
    has_aws_keys=True,
    ssl_mode="verify-full",
)
GUIDE_EXAMPLE = Document(
    resources=(PRODUCTION, REPLICA),
    authorizations=(
        AuthorizationSpec(
            name="developer-role",
            grants=("SELECT", "INSERT", "UPDATE", "DELETE"),
            schemas=("public", "app"),
            tables=("*",),
        ),
        AuthorizationSpec(name="analyst-role", grants=("SELECT",), schemas=("public", "analytics"), tables=("*",)),
    ),
    groups=(
        GroupSpec(
            name="backend-developers",
            members=("dev1@company.com", "dev2@company.com"),
            endpoints=("postgres-dev-access",),
        ),
        GroupSpec(
            name="data-analysts",
            members=("analyst1@company.com", "analyst2@company.com"),
            endpoints=("postgres-analyst-access",),
        ),
    ),
    endpoints=(
        EndpointSpec(
            name="postgres-dev-access",
            ttl="8h",
            resource="postgres-production",
            authorization="developer-role",
        ),
        EndpointSpec(
            name="postgres-analyst-access",
            ttl="12h",
            resource="postgres-read-replica",
            authorization="analyst-role",
        ),
    ),
)
