"""What survived is told, with what was changed, and tried again once there are other tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devstack import mutants

RULES = "def is_adult(age):\n    return age >= 18\n"
FIRST, SECOND = "accessmgmt.domain.rules.x_is_adult__mutmut_1", "accessmgmt.domain.rules.x_is_adult__mutmut_2"


@pytest.fixture
def area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mutants.Area:
    """A checkout with one module of rules and one test, laid out for mutmut."""
    (tmp_path / "accessmgmt" / "domain").mkdir(parents=True)
    (tmp_path / "accessmgmt" / "domain" / "rules.py").write_text(RULES)
    (tmp_path / "tests" / "domain").mkdir(parents=True)
    (tmp_path / "tests" / "domain" / "test_rules.py").write_text("def test_one(): ...\n")
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "WORK", tmp_path / ".cache" / "mutants")
    monkeypatch.setattr(mutants, "AREAS", (mutants.Area("domain", ("tests/domain",)),))
    mutants.prepare(mutants.AREAS[0])
    return mutants.AREAS[0]


def write_results(area: mutants.Area, **codes: int | None) -> Path:
    """Write what mutmut keeps beside a module."""
    meta = area.folder / "mutants" / area.source / "rules.py.meta"
    meta.parent.mkdir(parents=True, exist_ok=True)
    (meta.parent / "rules.py").write_text(RULES)
    names = {"first": FIRST, "second": SECOND}
    meta.write_text(json.dumps({"exit_code_by_key": {names[name]: code for name, code in codes.items()}, "other": 1}))
    return meta


def test_survivors_are_told_and_fail_the_run(
    area: mutants.Area, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "_with_diffs", lambda found: ["what was changed"] * len(found))
    write_results(area, first=1, second=0)
    assert mutants.report() == 1
    told = capsys.readouterr().out
    assert SECOND in told
    assert FIRST not in told
    assert "1 killed, 1 survived" in told
    assert (mutants.WORK / "survivors.txt").read_text() == "what was changed"
    write_results(area, first=1, second=1)
    assert mutants.report() == 0


def test_a_run_goes_on_where_it_was_and_other_tests_try_survivors_again(area: mutants.Area) -> None:
    meta = write_results(area, first=1, second=0)
    mutants.prepare(area)
    assert json.loads(meta.read_text())["exit_code_by_key"] == {FIRST: 1, SECOND: 0}
    (mutants.ROOT / "tests" / "domain" / "test_rules.py").write_text("def test_two(): ...\n")
    mutants.prepare(area)
    assert json.loads(meta.read_text()) == {"exit_code_by_key": {FIRST: 1, SECOND: None}, "other": 1}
    assert "test_two" in (area.folder / "mutants" / "tests" / "domain" / "test_rules.py").read_text()


def test_nothing_is_told_of_a_module_that_is_gone(area: mutants.Area) -> None:
    meta = write_results(area, first=0)
    (mutants.ROOT / "accessmgmt" / "domain" / "rules.py").unlink()
    mutants.prepare(area)
    assert not meta.exists()
    assert not meta.with_name("rules.py").exists()
