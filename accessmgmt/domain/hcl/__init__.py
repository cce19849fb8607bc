"""The set-up of the portal as Terraform HCL: what is exported (document), how it is written (render, writer)."""
