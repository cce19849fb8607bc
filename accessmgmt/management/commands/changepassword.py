"""Gives a person a new password and ends their sessions. It is audited, and no weak password is taken."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accessmgmt.domain.errors import AccessError
from accessmgmt.management.password import ask_password, operator, refused
from accessmgmt.models import User
from accessmgmt.services.people.users import reset_password


class Command(BaseCommand):
    """`manage.py changepassword ADDRESS`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose password it is."""
        parser.add_argument("email", help="the person's sign-in name")

    def handle(self, *args: object, **options: Any) -> None:
        """Change it through the service."""
        try:
            user = User.objects.get_by_natural_key(options["email"])
        except User.DoesNotExist:
            raise CommandError(f"{options['email']} has no account here.") from None
        try:
            reset_password(user=user, password=ask_password(f"New password for {user.email}: "), operator=operator())
        except AccessError as error:
            raise refused(error) from None
        self.stdout.write(f"{user.email} has a new password. Every session of theirs is over.")
