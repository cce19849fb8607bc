"""Reads of what admins describe."""
