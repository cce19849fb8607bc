"""Real servers, and a folder in memory for those that a test makes itself."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.pytest_servers import *  # noqa: F403


@pytest.fixture
def server_folder(servers_directory: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=servers_directory))
    yield folder
    shutil.rmtree(folder)
