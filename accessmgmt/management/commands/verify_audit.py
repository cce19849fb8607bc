"""Verifies the audit trail: authentic events, none missing, a chain that holds, and every checkpoint in it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accessmgmt.services.audit import seal

MOST_SHOWN = 20


class Command(BaseCommand):
    """`manage.py verify_audit [--head SEQUENCE:HASH]`; exits with 1 when anything does not hold."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a head that was noted earlier and elsewhere."""
        parser.add_argument("--head", default="", help="sequence:hash of an earlier run, to find what was cut off")

    def handle(self, *args: object, **options: Any) -> None:
        """Check everything, then the noted head."""
        found = seal.find_tampering()
        if options["head"]:
            found += self._check_head(options["head"])
        if found:
            more = f"\n... and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
            raise CommandError("The audit trail does not hold:\n" + "\n".join(found[:MOST_SHOWN]) + more)
        sequence, digest = seal.chain_head()
        self.stdout.write(f"The chain holds. Head: {sequence}:{digest}")

    def _check_head(self, head: str) -> list[str]:
        number, _, digest = head.partition(":")
        if not number.isdecimal():
            raise CommandError(f"“{head}” is not of the form sequence:hash.")
        problem = seal.head_problem(int(number), digest)
        return [problem] if problem else []
