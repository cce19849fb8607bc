"""Reads of access: endpoints, grants and requests."""
