"""Brings the schema up to date as the role that owns the tables, and gives the role that runs the portal its rights."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from accessmgmt.services.database_roles import become_owner, share_tables


class Command(migrate.Command):
    """`manage.py migrate`: with PORTAL_OWNER_DATABASE_URL set it connects as the owner, else as everybody does."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, then share."""
        runner = become_owner()
        super().handle(*args, **options)
        if runner and not options["plan"] and not options["check_unapplied"]:
            share_tables(runner)
