"""Says what was changed on a capability role: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from accessmgmt.domain.drift import DriftChange
from accessmgmt.provisioning.leftovers.passed_on import PassedOn
from accessmgmt.provisioning.privileges.read import OUTSIDE, Drift
from accessmgmt.provisioning.statements.privileges import FUTURE_WORDS

COLUMN = "COLUMN"  # among the surplus: privileges on single columns


def changes_of(drift: Iterable[Drift], role: str, wanted: Sequence[str] = ()) -> list[DriftChange]:
    """Return what mending these differences did. `wanted` is what the role should have on each of them."""
    changes = []
    for d in drift:
        name = object_words(d)
        if d.surplus:
            changes.append(DriftChange(role, name, f"revoked {taken_words(d.surplus, wanted)}", is_taken=True))
        if d.lacking and not d.surplus:
            changes.append(DriftChange(role, name, f"gave {', '.join(d.lacking)}", is_taken=False))
    return changes


def passed_on_change(gift: PassedOn) -> DriftChange:
    """Say what somebody lost who had it from the capability role."""
    what = f"revoked {', '.join(gift.privileges)}, which {gift.grantor} had passed on,"
    return DriftChange(gift.grantee, f"{gift.kind.lower()} {gift.name}", what, is_taken=True)


def object_words(drift: Drift) -> str:
    """Name what a difference is about, as a sentence would."""
    if drift.kind == "default":
        place = f"in schema {drift.name}" if drift.name else "in any schema"
        return f"new {FUTURE_WORDS.get(drift.relkind, 'objects').lower()} of {drift.owner} {place}"
    word = {"relation": "", "other": drift.relkind.lower()}.get(drift.kind, drift.kind)
    return f"{word} {drift.name}".strip()


def taken_words(surplus: Sequence[str], wanted: Sequence[str]) -> str:
    """Name privileges that were too many. One that is wanted was there with the right to pass it on."""
    is_outside = OUTSIDE in surplus
    names = [name for name in surplus if name not in {OUTSIDE, COLUMN}]
    parts = [name for name in names if is_outside or name not in wanted]
    parts += ["privileges on single columns"] if COLUMN in surplus else []
    if passed := [] if is_outside else [name for name in names if name in wanted]:
        parts.append(f"the right to pass on {', '.join(passed)}")
    return ", ".join(parts) or "all privileges"
