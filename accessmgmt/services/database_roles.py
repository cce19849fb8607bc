"""Two roles in the portal's own database: one owns the tables, the other runs the portal and only adds to the audit."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import connection, models, transaction

from accessmgmt.models import AuditEvent, AuditSeal, AuditSlot

ADDED_ONLY = (AuditEvent, AuditSeal)
COUNTED = (AuditSlot,)


def become_owner() -> str:
    """Let this process connect as the role that owns the tables; return the role that it ran as until now.

    Returns "" where no other role is configured (PORTAL_OWNER_DATABASE_URL).
    """
    if settings.PORTAL_OWNER_DATABASE is None:
        return ""
    runner = str(connection.settings_dict["USER"])
    connection.close()
    names = ("NAME", "USER", "PASSWORD", "HOST", "PORT")
    connection.settings_dict.update({name: settings.PORTAL_OWNER_DATABASE[name] for name in names})
    return runner


def share_tables(runner: str) -> None:
    """Give the role that runs the portal its rights on every table, as the owner: on the audit only to add and read.

    Default privileges are not used: what a migration makes is shared by this, at its end.
    """
    role = connection.ops.quote_name(runner)
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (
            f"GRANT USAGE ON SCHEMA public TO {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
            f"REVOKE UPDATE, DELETE ON {_names(ADDED_ONLY)} FROM {role}",
            f"REVOKE DELETE ON {_names(COUNTED)} FROM {role}",
        ):
            cursor.execute(statement)


def _names(tables: Sequence[type[models.Model]]) -> str:
    return ", ".join(connection.ops.quote_name(model._meta.db_table) for model in tables)
