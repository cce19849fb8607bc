# Just-in-time access to PostgreSQL, exported by the access portal.
#
# No secret is in this file. Terraform asks for the variables below, or takes them from
# TF_VAR_... in the environment or from a .tfvars file; keep that out of version control.

# Secrets

variable "main_username" {
  description = "User name that the portal signs in with on main."
  type        = string
  sensitive   = true
}

variable "main_password" {
  description = "Password that the portal signs in with on main."
  type        = string
  sensitive   = true
}

# Resources

resource "adaptive_resource" "main" {
  type = "postgres"

  name          = "main"
  host          = "db"
  port          = "5432"
  username      = var.main_username
  password      = var.main_password
  database_name = "app"
}
