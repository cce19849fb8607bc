"""Writes: one verb, one transaction, its audit events."""
