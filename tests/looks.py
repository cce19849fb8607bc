"""Does what the looks worker would do, in the test's own thread."""

from __future__ import annotations

from accessmgmt.models import TargetLook
from accessmgmt.services.targets import look_work


def do_waiting() -> list[TargetLook]:
    """Do the looks that wait, the oldest first; return what came of each."""
    waiting = list(TargetLook.objects.live().order_by("asked_at").values_list("pk", flat=True))
    for pk in waiting:
        look_work.look_at_target(pk)
    return list(TargetLook.objects.filter(pk__in=waiting).order_by("asked_at"))


def done(look: TargetLook) -> TargetLook:
    """Do one look; return what came of it."""
    look_work.look_at_target(look.pk)
    look.refresh_from_db()
    return look
