"""Asking for access, and deciding on it."""
