"""Makes an admin: the first one, or one more when none can sign in. It is audited, and no weak password is taken."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accessmgmt.domain.errors import AccessError
from accessmgmt.management.password import ask_password, operator, refused
from accessmgmt.models import User
from accessmgmt.services.people.users import create_user


class Command(BaseCommand):
    """`manage.py createsuperuser [--email ADDRESS] [--name NAME] [--noinput]`.

    With --noinput address and password are read from DJANGO_SUPERUSER_EMAIL and DJANGO_SUPERUSER_PASSWORD.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what is not a secret."""
        parser.add_argument("--email", default=os.environ.get("DJANGO_SUPERUSER_EMAIL", ""), help="the sign-in name")
        parser.add_argument("--name", default="", help="how others see the person")
        parser.add_argument("--noinput", "--no-input", action="store_false", dest="interactive", help="ask nothing")

    def handle(self, *args: object, **options: Any) -> None:
        """Make the account through the service that the pages use."""
        email, password = options["email"], os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
        if options["interactive"]:
            email = email or input("E-mail address: ")
            password = ask_password()
        if not email or not password:
            raise CommandError("Set DJANGO_SUPERUSER_EMAIL (or --email) and DJANGO_SUPERUSER_PASSWORD.")
        try:
            user = create_user(
                actor=None,
                email=email,
                name=options["name"],
                role=User.Role.ADMIN,
                password=password,
                operator=operator(),
            )
        except AccessError as error:
            raise refused(error) from None
        self.stdout.write(f"{user.email} may sign in now, as an admin.")
