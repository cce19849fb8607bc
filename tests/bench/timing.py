"""Percentiles."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least two values (exclusive method of the statistics module, clamped to the range)."""
    cut = statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
    return float(cut)
