"""Speaks to target servers: makes login roles, verifies them, ends them, and tests connections.

Knows no Django and no Celery. Frozen dataclasses of `domain.targets` go in and come out.
"""
