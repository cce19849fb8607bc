"""Encrypts every stored secret with the newest key, so that older keys can be thrown away."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accessmgmt.services import encryption


class Command(BaseCommand):
    """`manage.py reencrypt_secrets`; exits with 1 when a secret could not be decrypted."""

    help = __doc__

    def handle(self, *args: object, **options: Any) -> None:
        """Do all that can be done, then name what is left."""
        report = encryption.reencrypt_secrets()
        self.stdout.write(f"{report.renewed} secrets have the newest key now, {report.kept} had it already.")
        for name, pk in report.unreadable:
            self.stderr.write(f"No key decrypts {name} of row {pk}.")
        if report.unreadable:
            raise CommandError(
                f"{len(report.unreadable)} secrets cannot be decrypted. Put the key that encrypted them back into"
                " PORTAL_ENCRYPTION_KEYS, behind the newest, or enter them anew."
            )
        self.stdout.write("Every other key may be taken out of PORTAL_ENCRYPTION_KEYS.")
