"""Walks the audit trail's hash chain, and says whether it holds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accessmgmt.models import AuditSeal
from accessmgmt.services import audit


class Command(BaseCommand):
    """`manage.py verify_audit [--head SEQUENCE:HASH]`; exits with 1 when the chain does not hold."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a head that was noted earlier and elsewhere."""
        parser.add_argument("--head", default="", help="sequence:hash of an earlier run, to find what was cut off")

    def handle(self, *args: object, **options: Any) -> None:
        """Check every seal, then the noted head."""
        broken = audit.broken_seals()
        if broken:
            raise CommandError(f"The chain does not hold at {len(broken)} places, the first is seal {broken[0]}.")
        if options["head"]:
            self._check_head(options["head"])
        sequence, digest = audit.chain_head()
        self.stdout.write(f"The chain holds. Head: {sequence}:{digest}")

    def _check_head(self, head: str) -> None:
        number, _, digest = head.partition(":")
        if not number.isdecimal():
            raise CommandError(f"“{head}” is not of the form sequence:hash.")
        seal = AuditSeal.objects.filter(sequence=int(number)).first()
        if seal is None and int(number):
            raise CommandError(f"Seal {number} is missing: the end of the chain was cut off.")
        if seal is not None and seal.hash != digest:
            raise CommandError(f"Seal {number} is another one than the one that was noted.")
