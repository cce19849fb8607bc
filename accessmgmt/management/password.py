"""Asking for a new password at a terminal."""

from __future__ import annotations

import getpass
import sys

from django.core.management.base import CommandError

from accessmgmt.domain.errors import AccessError


def ask_password(prompt: str = "Password: ") -> str:
    """Ask twice, without showing it. Raises CommandError when there is no terminal or the two differ."""
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to ask for a password at. Run it in one.")
    first = getpass.getpass(prompt)
    if getpass.getpass("The same again: ") != first:
        raise CommandError("The two are not the same. Nothing was changed; run it again.")
    return first


def refused(error: AccessError) -> CommandError:
    """Return what the command ends with: what was refused, and the reasons for each field."""
    reasons = [text for texts in getattr(error, "fields", {}).values() for text in texts]
    return CommandError(" ".join([str(error), *reasons]))


def operator() -> str:
    """Return who runs the command, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
