"""Literals, lists and alignment, by example."""

import pytest

from accessmgmt.domain.hcl.errors import HclError, HclTextError
from accessmgmt.domain.hcl.strings import comment_text, quote
from accessmgmt.domain.hcl.writer import (
    Attribute,
    Blank,
    Block,
    Call,
    Comment,
    Items,
    Lines,
    ModuleFile,
    Object,
    Reference,
    write,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("a\\b", r'"a\\b"'),
        ("a\nb\tc\rd", r'"a\nb\tc\rd"'),
        ("\x1b\x7f\x85", r'"\u001b\u007f\u0085"'),
        ("\u202egnp.exe", r'"\u202egnp.exe"'),
        ("\U000e0041", r'"\U000e0041"'),
        ("${x}", '"$${x}"'),
        ("%{ if x }", '"%%{ if x }"'),
        ("$${x}", '"$$${x}"'),
        ("%%{", '"%%%{"'),
        ("$%{", '"$%%{"'),
        ("100% $5 {}", '"100% $5 {}"'),
        ("$\n{", r'"$\n{"'),
        ("Müller 数据 😀", '"Müller 数据 😀"'),
    ],
)
def test_text_is_quoted(text, source):
    assert quote(text) == source


@pytest.mark.parametrize("text", ["\x00", "a\x00", "\ud83d"])
def test_text_that_hcl_cannot_hold_is_refused(text):
    with pytest.raises(HclTextError):
        quote(text)
    with pytest.raises(HclTextError):
        comment_text(text)


def test_a_comment_stays_on_its_line():
    assert write([Comment('x\n}\r\nresource "a" "b" {\u2028')]) == '# x\\n}\\r\\nresource "a" "b" {\\u2028\n'


def test_only_neighbouring_one_line_attributes_are_aligned():
    body = (
        Attribute("a", 1),
        Attribute("long", True),
        Attribute("list", Lines(("x", Comment("why"), Reference("y.name")))),
        Attribute("b", "s"),
        Comment("note"),
        Attribute("longer", ModuleFile("certs/a.pem")),
        Blank(),
        Attribute("c", Items((1, 2))),
        Attribute("code", Call("jsonencode", Object((Attribute("x", Items(())), Attribute("yy", 0))))),
        Block("inner", (), ()),
    )
    assert write((Block("outer", ("l",), body),)) == (
        'outer "l" {\n'
        "  a    = 1\n"
        "  long = true\n"
        "  list = [\n"
        '    "x",\n'
        "    # why\n"
        "    y.name\n"
        "  ]\n"
        '  b = "s"\n'
        "  # note\n"
        '  longer = file("${path.module}/certs/a.pem")\n'
        "\n"
        "  c = [1, 2]\n"
        "  code = jsonencode({\n"
        "    x  = []\n"
        "    yy = 0\n"
        "  })\n"
        "  inner {\n"
        "  }\n"
        "}\n"
    )


def test_a_list_that_grows_too_wide_is_broken():
    wide = Items(tuple(f"table_{number}" for number in range(20)))
    assert write([Attribute("a", wide)]).count("\n") == 22


@pytest.mark.parametrize(
    "element",
    [
        Attribute("a b", 1),
        Attribute("a", Reference("x.\ny")),
        Attribute("a", ModuleFile('x"')),
        Attribute("a", Call("f(", 1)),
        Block("b", ('l" {',), ()),
    ],
)
def test_what_is_no_identifier_is_refused(element):
    with pytest.raises(HclError):
        write([element])
