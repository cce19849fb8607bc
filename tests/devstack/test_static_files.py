"""Static files are collected once for each state of their sources."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack import static_files


def test_two_at_once_make_one_folder_and_a_third_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "FOLDER", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        folders = {job.result() for job in [pool.submit(static_files.collect_static_files) for _ in range(2)]}
    assert folders == set(tmp_path.iterdir())
    (folder,) = folders
    assert (folder / "staticfiles.json").is_file()
    monkeypatch.setattr(static_files.subprocess, "run", None)  # nothing is collected again
    assert static_files.collect_static_files() == folder


def test_old_folders_are_forgotten_but_not_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "FOLDER", tmp_path)
    older = [tmp_path / f"old-{number}" for number in range(static_files.KEPT + 2)]
    for folder in older:
        folder.mkdir()
    newest = static_files.collect_static_files()
    left = set(tmp_path.iterdir())
    assert newest in left
    assert len(left - {newest}) == static_files.KEPT
