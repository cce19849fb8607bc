"""`make bench`: measures on real servers, prints a table, and writes build/bench.json."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from devstack.paths import ROOT
from tests.bench import (
    activation,
    application_ddl,
    chaos,
    endings,
    engine,
    hostile,
    one_table,
    pages,
    per_role,
    scale,
    small,
    throughput,
)

RESULT = ROOT / "build" / "bench.json"
MEASURES = {
    "engine": engine.measure,
    "small": small.measure,
    "activation": activation.measure,
    "pages": pages.measure,
    "scale": scale.measure,
    "per_role": per_role.measure,
    "one_table": one_table.measure,
    "application_ddl": application_ddl.measure,
    "endings": endings.measure,
    "throughput": throughput.measure,
    "chaos": chaos.measure,
    "hostile": hostile.measure,
}


def main(names: Sequence[str]) -> int:
    """Run every measurement, or those that are named; the file is one flat object of numbers."""
    load_before = os.getloadavg()[0]
    figures: dict[str, float] = {}
    for name in names or MEASURES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures |= MEASURES[name]()
    figures = {name: round(value, 3) for name, value in figures.items()}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"  {name:{width}}  {value:>10,.2f}")
    print(f"\n  load before {load_before:.1f}, after {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"  written to {RESULT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
