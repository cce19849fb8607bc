"""Mutation tests: small faults put into the rules, one at a time, and the tests that pass through each asked to notice.

    python -m devstack.mutants [AREA ...]    # domain, policy, services

mutmut does the work, once an area, in `.cache/mutants/AREA`, on kept servers (see kept_servers). For each mutant it
forks a process that has everything imported and runs only the tests that were seen to call the mutated function. A run
that was ended goes on where it was; what survived is tried again once the tests have changed. Survivors, with what was
changed, stand in `.cache/mutants/survivors.txt`.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.kept_servers import SWITCH
from devstack.paths import CACHE, ROOT, VENV

WORK = CACHE / "mutants"
# The lines of words for people and for the log: a test that repeats them protects nothing.
WORDS = (r"^\s*(raise \w|why=|todo=|what=|logger\.|f?\"[^\"]*\",?$)",)
# Tests that count how long reading takes: minutes for a mutant, and no rule is in them.
SLOW = "not time_to_read and not keeps_the_portal_busy"
KILLED, SURVIVED, UNTRIED, UNTESTED = "killed", "survived", "not tried", "no test calls it"
STATUS = {0: SURVIVED, 1: KILLED, 3: KILLED, 5: UNTESTED, 33: UNTESTED, None: UNTRIED, 2: UNTRIED}
Codes = dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Area:
    """A folder of rules, the tests that have to notice, those too slow for it, and how many mutants at a time.

    What uses a database is tried one at a time: all share the test database of one place.
    """

    name: str
    tests: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    at_once: int = 1

    @property
    def source(self) -> str:
        return f"accessmgmt/{self.name}"

    @property
    def folder(self) -> Path:
        return WORK / self.name


AREAS = (
    Area("domain", ("tests/domain",), at_once=2),
    # The matrix asks every URL for every persona: minutes, for rules that the other tests ask directly.
    Area("policy", ("tests/policy",), ("tests/policy/test_matrix.py", "tests/policy/test_one_home.py")),
    Area("services", ("tests/services",)),
)


def main() -> int:
    """Try the mutants of the areas; return an exit status, 1 when some survived."""
    parser = argparse.ArgumentParser(prog="python -m devstack.mutants", description=main.__doc__)
    parser.add_argument(
        "areas", nargs="*", metavar="AREA", help="domain, policy, services; all of them when none is named"
    )
    parser.add_argument("--report", action="store_true", help="only tell what earlier runs found")
    options = parser.parse_args()
    chosen = [area for area in AREAS if area.name in options.areas or not options.areas]
    if unknown := set(options.areas) - {area.name for area in AREAS}:
        parser.error(f"there is no area {', '.join(sorted(unknown))}")
    for area in chosen if not options.report else ():
        prepare(area)
        status = run_mutmut(area)
        if status != 0:
            print(f"mutmut failed for {area.name} with status {status}", file=sys.stderr)
            return status
    return report()


def prepare(area: Area) -> None:
    """Lay out what mutmut works on: the sources, a fresh copy of the tests, and its settings."""
    inside = area.folder / "mutants"
    inside.mkdir(parents=True, exist_ok=True)
    _link(area.folder / "accessmgmt", ROOT / "accessmgmt")
    for entry in ROOT.iterdir():
        if entry.name not in {"accessmgmt", "tests", "pyproject.toml"} and not entry.name.startswith("."):
            _link(inside / entry.name, entry)
    for folder in (area.folder, inside):
        shutil.rmtree(folder / "tests", ignore_errors=True)
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    settings: dict[str, Any] = {
        "source_paths": ["accessmgmt"],
        "only_mutate": [f"{area.source}/*"],
        "do_not_mutate_patterns": list(WORDS),
        "pytest_add_cli_args_test_selection": [*area.tests, *(f"--ignore={path}" for path in area.left_out)],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:xdist", "-k", SLOW, "--hypothesis-profile=mutants"],
        "on_dependency_change": "ignore",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    project = (ROOT / "pyproject.toml").read_text()
    (area.folder / "pyproject.toml").write_text("\n".join([project, "[tool.mutmut]", *lines, ""]))
    _forget_what_is_gone(area)
    _try_survivors_of_other_tests_again(area)


def run_mutmut(area: Area) -> int:
    """Run it with this terminal for its progress; return its exit status."""
    command = [str(VENV / "bin" / "mutmut"), "run", "--max-children", str(area.at_once)]
    environment = {**os.environ, SWITCH: "1"}
    print(f"mutants of {area.source}", flush=True)
    return subprocess.run(command, cwd=area.folder, env=environment, check=False).returncode


def report() -> int:
    """Print the figures of all areas and who survived, and write the latter to a file; return 1 when there are some."""
    found: list[str] = []
    for area in AREAS:
        by_module: dict[str, Counter[str]] = {}
        for meta, codes in _results(area):
            counts = Counter(STATUS.get(code, "timeout or crash") for code in codes.values())
            by_module[str(meta.relative_to(area.folder / "mutants")).removesuffix(".py.meta")] = counts
            found += [f"{area.name} {name}" for name, code in codes.items() if STATUS.get(code) == SURVIVED]
        for module, counts in sorted(by_module.items()):
            print(f"{module:45} " + ", ".join(f"{number} {status}" for status, number in sorted(counts.items())))
        total = sum(by_module.values(), Counter[str]())
        if total:
            print(f"{area.source:45} " + ", ".join(f"{number} {status}" for status, number in sorted(total.items())))
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "survivors.txt").write_text("\n".join(_with_diffs(found)))
    print(f"\n{len(found)} survivors, with what was changed in {WORK / 'survivors.txt'}:")
    print("\n".join(found))
    return 1 if found else 0


def _with_diffs(found: list[str]) -> Iterator[str]:
    for area in AREAS:
        names = [line.split()[1] for line in found if line.startswith(f"{area.name} ")]
        if names:
            command = [sys.executable, str(ROOT / "devstack" / "mutant_diffs.py"), *names]
            done = subprocess.run(command, cwd=area.folder, capture_output=True, text=True, check=True)
            yield done.stdout


def _results(area: Area) -> Iterator[tuple[Path, Codes]]:
    """Return each module's file of results, and mutmut's code for each mutant in it."""
    for meta in sorted((area.folder / "mutants" / area.source).rglob("*.meta")):
        yield meta, json.loads(meta.read_text())["exit_code_by_key"]


def _forget_what_is_gone(area: Area) -> None:
    """Remove copies and results of modules that were moved or deleted."""
    inside = area.folder / "mutants"
    for copy in (inside / "accessmgmt").rglob("*.py"):
        if not (ROOT / copy.relative_to(inside)).exists():
            copy.unlink()
            copy.with_name(f"{copy.name}.meta").unlink(missing_ok=True)


def _try_survivors_of_other_tests_again(area: Area) -> None:
    """Forget who survived, and which test calls what, when the tests are not those of the last run."""
    digest = hashlib.sha256()
    for path in sorted(path for tests in area.tests for path in (ROOT / tests).rglob("*.py")):
        digest.update(path.read_bytes())
    stamp = area.folder / "tests-hash"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    (area.folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    for meta, codes in _results(area):
        kept = {name: code if STATUS.get(code) == KILLED else None for name, code in codes.items()}
        meta.write_text(json.dumps({**json.loads(meta.read_text()), "exit_code_by_key": kept}))
    stamp.write_text(digest.hexdigest())


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target)


if __name__ == "__main__":
    sys.exit(main())
