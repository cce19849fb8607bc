"""A small model of HCL (values, attributes, blocks) and its canonical layout, the one of `terraform fmt`.

The layout rules are those of hclwrite's `Format`: two spaces a level, and the `=` of neighbouring one-line attributes
in one column. A blank line, a comment or a value of several lines ends such a run.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from accessmgmt.domain.hcl.errors import HclError
from accessmgmt.domain.hcl.strings import comment_text, quote

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_REFERENCE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")
_MODULE_PATH: Final = re.compile(r"[A-Za-z0-9_./-]+")
_INDENT: Final = "  "
_LIST_WIDTH: Final = 96


@dataclass(frozen=True, slots=True)
class Reference:
    """A bare traversal such as `var.password`, or a type word such as `string`."""

    path: str


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """The content of a file beside the configuration: `file("${path.module}/certs/a.pem")`."""

    path: str


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment line, on a line of its own."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list on one line, broken to one item a line where it would grow too wide; `[]` when empty."""

    values: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """A list with one item a line, comments allowed between them; `[]` when empty."""

    values: tuple["Value | Comment", ...]


@dataclass(frozen=True, slots=True)
class Object:
    """An object constructor, one attribute a line."""

    attributes: tuple["Attribute", ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function call with one argument."""

    function: str
    argument: "Value"


Value: TypeAlias = str | int | bool | Reference | ModuleFile | Items | Lines | Object | Call
"""A `str` is a quoted literal, an `int` a number, a `bool` a keyword."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`name = value`."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Blank:
    """One empty line."""


@dataclass(frozen=True, slots=True)
class Block:
    """`type "label" "label" { body }`."""

    type: str
    labels: tuple[str, ...]
    body: "tuple[Element, ...]"


Element: TypeAlias = Attribute | Comment | Blank | Block


def write(body: Sequence[Element]) -> str:
    """Return the canonical text of a file: its elements in order, with a newline at the end.

    Blank lines stand exactly where `Blank` does. Raises HclError for a name, a reference or a path that is no plain
    identifier, HclTextError for a text that HCL cannot hold.
    """
    return "".join(f"{line}\n" for line in _body_lines(body))


def join_groups(groups: Iterable[Sequence[Element]]) -> tuple[Element, ...]:
    """Return the elements of the non-empty groups in order, with one blank line between two groups."""
    joined: list[Element] = []
    for group in groups:
        if group:
            joined += [Blank(), *group] if joined else group
    return tuple(joined)


def _body_lines(body: Sequence[Element]) -> list[str]:
    lines: list[str] = []
    run: list[tuple[str, str]] = []
    for element in body:
        if isinstance(element, Attribute):
            name, value = _identifier(element.name), _value_lines(element.value)
            if len(value) == 1:
                run.append((name, value[0]))
                continue
            lines += _aligned(run)
            lines += [f"{name} = {value[0]}", *value[1:]]
        else:
            lines += _aligned(run)
            lines += _element_lines(element)
        run = []
    return lines + _aligned(run)


def _aligned(run: list[tuple[str, str]]) -> list[str]:
    width = max((len(name) for name, _ in run), default=0)
    return [f"{name:<{width}} = {value}" for name, value in run]


def _element_lines(element: Comment | Blank | Block) -> list[str]:
    if isinstance(element, Comment):
        return [_comment(element)]
    if isinstance(element, Blank):
        return [""]
    labels = "".join(f' "{_identifier(label)}"' for label in element.labels)
    return [f"{_identifier(element.type)}{labels} {{", *_indented(_body_lines(element.body)), "}"]


def _value_lines(value: Value) -> list[str]:
    """Return the lines of a value, the first without and the others with their indent below the attribute."""
    match value:
        case bool():
            return ["true" if value else "false"]
        case int():
            return [str(value)]
        case str():
            return [quote(value)]
        case Reference(path):
            return [_matching(_REFERENCE, path)]
        case ModuleFile(path):
            return [f'file("${{path.module}}/{_matching(_MODULE_PATH, path)}")']
        case Items(values):
            return _items_lines(values)
        case Lines(values):
            return _list_lines(values)
        case Object(attributes):
            return ["{", *_indented(_body_lines(attributes)), "}"] if attributes else ["{}"]
        case Call(function, argument):
            lines = _value_lines(argument)
            lines[0] = f"{_identifier(function)}({lines[0]}"
            lines[-1] += ")"
            return lines


def _items_lines(values: tuple[Value, ...]) -> list[str]:
    items = [_value_lines(value) for value in values]
    if all(len(item) == 1 for item in items):
        line = f"[{', '.join(item[0] for item in items)}]"
        if len(line) <= _LIST_WIDTH or len(items) == 1:
            return [line]
    return _list_lines(values)


def _list_lines(values: Sequence[Value | Comment]) -> list[str]:
    if not values:
        return ["[]"]
    last = max((index for index, value in enumerate(values) if not isinstance(value, Comment)), default=-1)
    lines: list[str] = []
    for index, value in enumerate(values):
        item = [_comment(value)] if isinstance(value, Comment) else _value_lines(value)
        if not isinstance(value, Comment) and index != last:
            item[-1] += ","
        lines += item
    return ["[", *_indented(lines), "]"]


def _comment(comment: Comment) -> str:
    return f"# {comment_text(comment.text)}".rstrip()


def _indented(lines: list[str]) -> list[str]:
    return [f"{_INDENT}{line}" if line else line for line in lines]


def _identifier(name: str) -> str:
    return _matching(_IDENTIFIER, name)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise HclError(f"{text!r} cannot stand here in HCL.")
    return text
