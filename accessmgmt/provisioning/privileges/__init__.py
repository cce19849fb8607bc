"""The capability role of a permission set: read, planned, made, kept exact."""
