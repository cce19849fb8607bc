# Just-in-time access to PostgreSQL, exported by the access portal.
#
# No secret is in this file. Terraform asks for the variables below, or takes them from
# TF_VAR_... in the environment or from a .tfvars file; keep that out of version control.

terraform {
  required_providers {
    adaptive = {
      source = "adaptive-scale/adaptive"
    }
  }
}

# Secrets

variable "postgres_production_aws_access_key_id" {
  description = "ID of the AWS access key with which the secret of postgres-production is read."
  type        = string
  sensitive   = true
}

variable "postgres_production_aws_secret_access_key" {
  description = "AWS secret access key with which the secret of postgres-production is read."
  type        = string
  sensitive   = true
}

variable "postgres_read_replica_aws_access_key_id" {
  description = "ID of the AWS access key with which the secret of postgres-read-replica is read."
  type        = string
  sensitive   = true
}

variable "postgres_read_replica_aws_secret_access_key" {
  description = "AWS secret access key with which the secret of postgres-read-replica is read."
  type        = string
  sensitive   = true
}

# Resources

resource "adaptive_resource" "postgres_production" {
  type = "postgres"

  name          = "postgres-production"
  host          = "postgres-primary.internal.company.net"
  port          = "5432"
  database_name = "production"

  # AWS Secrets Manager
  use_aws_secrets       = true
  aws_region            = "us-east-1"
  aws_secret_name       = "postgres-prod-credentials"
  aws_access_key_id     = var.postgres_production_aws_access_key_id
  aws_secret_access_key = var.postgres_production_aws_secret_access_key

  # SSL configuration
  # The client's private key is never exported: put it at certs/postgres_production-client-key.pem by hand.
  ssl_mode      = "verify-full"
  tls_root_cert = file("${path.module}/certs/postgres_production-ca.pem")
  tls_cert_file = file("${path.module}/certs/postgres_production-client.pem")
  tls_key_file  = file("${path.module}/certs/postgres_production-client-key.pem")

  # Connection pool
  max_connections = 100
  min_connections = 20
}

resource "adaptive_resource" "postgres_read_replica" {
  type = "postgres"

  name          = "postgres-read-replica"
  host          = "postgres-replica.internal.company.net"
  port          = "5432"
  database_name = "production"

  # AWS Secrets Manager
  use_aws_secrets       = true
  aws_region            = "us-east-1"
  aws_secret_name       = "postgres-replica-credentials"
  aws_access_key_id     = var.postgres_read_replica_aws_access_key_id
  aws_secret_access_key = var.postgres_read_replica_aws_secret_access_key

  # SSL configuration
  ssl_mode = "verify-full"
}

# Authorizations

resource "adaptive_authorization" "analyst_role" {
  name          = "analyst-role"
  resource_type = "postgres"

  permissions = jsonencode({
    grants  = ["SELECT"]
    schemas = ["public", "analytics"]
    tables  = ["*"]
  })
}

resource "adaptive_authorization" "developer_role" {
  name          = "developer-role"
  resource_type = "postgres"

  permissions = jsonencode({
    grants  = ["SELECT", "INSERT", "UPDATE", "DELETE"]
    schemas = ["public", "app"]
    tables  = ["*"]
  })
}

# Groups

resource "adaptive_group" "backend_developers" {
  name = "backend-developers"

  members = [
    "dev1@company.com",
    "dev2@company.com"
  ]

  endpoints = [
    adaptive_endpoint.postgres_dev_access.name
  ]
}

resource "adaptive_group" "data_analysts" {
  name = "data-analysts"

  members = [
    "analyst1@company.com",
    "analyst2@company.com"
  ]

  endpoints = [
    adaptive_endpoint.postgres_analyst_access.name
  ]
}

# Endpoints

resource "adaptive_endpoint" "postgres_analyst_access" {
  name          = "postgres-analyst-access"
  type          = "direct"
  ttl           = "12h"
  resource      = adaptive_resource.postgres_read_replica.name
  authorization = adaptive_authorization.analyst_role.name
}

resource "adaptive_endpoint" "postgres_dev_access" {
  name          = "postgres-dev-access"
  type          = "direct"
  ttl           = "8h"
  resource      = adaptive_resource.postgres_production.name
  authorization = adaptive_authorization.developer_role.name
}
