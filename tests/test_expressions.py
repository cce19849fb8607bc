"""No regular expression of the product takes more than linear time, whatever a stranger sends.

Every expression that stands in the code is found by reading the code, and timed with texts that are made of its own
letters: all of them would match for long and then fail. Four times the text may take four times as long, not sixteen
times: the ratio of two times of this thread's processor does not depend on the machine.
"""

from __future__ import annotations

import ast
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from devstack.paths import ROOT

SHORT, LONG = 5_000, 20_000  # at 100,000 letters a slow one would take minutes to be found
QUICK_SECONDS = 0.005
MOST_RATIO = 9.0
CALLS = frozenset({"search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"})


@dataclass(frozen=True)
class Expression:
    """An expression with the methods by which it is used."""

    where: str
    pattern: str
    flags: int
    methods: frozenset[str]

    def __str__(self) -> str:
        return self.where


def expressions() -> list[Expression]:
    """Return every expression of the product. Fails when one is not written out, so that nobody can read it."""
    trees = {
        path.relative_to(ROOT): ast.parse(path.read_text())
        for folder in ("accessmgmt", "portal")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    calls = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    used: dict[str, set[str]] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in CALLS:
            used.setdefault(ast.unparse(call.func.value).rpartition(".")[2], set()).add(call.func.attr)
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
                name = ast.unparse(node.func).removeprefix("re.")
                if name == "compile":
                    methods = used.get(_assigned_to(tree, node), {"search"})
                elif name in CALLS:
                    methods = {name}
                else:
                    continue
                found.append(Expression(f"{path}:{node.lineno}", *_written(path.stem, tree, node), frozenset(methods)))
    return found


def _assigned_to(tree: ast.Module, call: ast.Call) -> str:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is call:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            return ast.unparse(target)
    return ""


def _written(where: str, tree: ast.Module, call: ast.Call) -> tuple[str, int]:
    """Return the pattern and the flags of a call, evaluated with the module's own constants."""
    names: dict[str, Any] = {"re": re}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names |= {ast.unparse(target): node.value.value for target in node.targets}
    pattern = eval(compile(ast.Expression(call.args[0]), where, "eval"), names)  # noqa: S307 - our own code
    flags = call.args[1:2] if ast.unparse(call.func) == "re.compile" else []
    flags += [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    return pattern, sum(int(eval(compile(ast.Expression(flag), where, "eval"), names)) for flag in flags)  # noqa: S307


def texts(pattern: str, size: int) -> Iterator[str]:
    """Return texts that an expression may find hard: its own pieces again and again, and something that never fits."""
    letters = set(pattern) | set("aA0 -_.:/@=\"'\n(")
    pieces = {
        *letters,
        *_literals(pattern),
        "a.",
        "a-",
        "a@",
        "a@a.",
        "a ",
        "://a",
        "://a:",
        "a://a:a",
        "password=",
        "\\",
    }
    pieces |= {first + second for first in _literals(pattern) for second in ("a", " ", "0")}
    for piece in sorted(pieces):
        whole = (piece * (size // len(piece) + 1))[:size]
        for start in ("", *_literals(pattern)[:3]):
            yield start + whole
            yield start + whole + "\0"


def _literals(pattern: str) -> list[str]:
    """Return the fixed texts of a pattern, such as the BEGIN of a certificate; the longest first."""
    return sorted({text for text in re.findall(r"[A-Za-z0-9_ :/-]{2,}", pattern) if len(text) > 1}, key=len)[::-1][:6]


def seconds(expression: Expression, method: str, text: str) -> float:
    """Return how long one use takes this thread's processor: the best of three."""
    compiled = re.compile(expression.pattern, expression.flags)
    work = getattr(compiled, method)
    arguments = ("", text) if method in {"sub", "subn"} else (text,)
    times = []
    for _ in range(3):
        began = time.thread_time()
        result = work(*arguments)
        if method == "finditer":
            deque(result, maxlen=0)
        times.append(time.thread_time() - began)
        if not QUICK_SECONDS < times[-1] < 0.2:
            break
    return min(times)


@pytest.mark.parametrize("expression", expressions(), ids=str)
def test_an_expression_takes_linear_time(expression: Expression) -> None:
    for method in expression.methods:
        for short, long in zip(texts(expression.pattern, SHORT), texts(expression.pattern, LONG), strict=True):
            took = seconds(expression, method, long)
            if took < QUICK_SECONDS:
                continue
            ratio = took / max(seconds(expression, method, short), 1e-6)
            assert ratio < MOST_RATIO, f"{method} of {long[:40]!r}…: {took:.3f} s, {ratio:.1f} times the fourth of it"


def test_the_expressions_are_found() -> None:
    found = expressions()
    assert len(found) > 15
    assert {"portal/log.py", "accessmgmt/domain/names.py"} <= {one.where.partition(":")[0] for one in found}


def test_a_slow_expression_is_seen() -> None:
    """The one that masked passwords in URLs before."""
    slow = Expression("before", r"(?P<scheme>[a-z][a-z0-9+.-]*://[^:/?#\s]*):[^@/\s]+@", re.I, frozenset({"sub"}))
    with pytest.raises(AssertionError, match="times the fourth"):
        test_an_expression_takes_linear_time(slow)
