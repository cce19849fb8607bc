"""Reads rendered HCL back with python-hcl2, so that a test compares facts and not layout.

python-hcl2 hands out strings in source form; `literal` evaluates them by the HCL specification. Its grammar takes
`$${` only when a `}` follows (the specification does not ask for one), hence `closed`.
"""

import re
from typing import Any

import hcl2

OPTIONS = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False)
ESCAPE = re.compile(r'\\(?:(["\\nrt])|u([0-9a-f]{4})|U([0-9a-f]{8}))|\$\$(?=\{)|%%(?=\{)')
SHORT = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def closed(text: str) -> str:
    """Return the text with a `}` at its end if python-hcl2 would look for one beyond the string."""
    return text + "}" if "${" in text or "%{" in text else text


def literal(source: str) -> str:
    """Return the value of a quoted literal without interpolation (HCL specification, "Quoted templates")."""
    assert source[0] == source[-1] == '"', source
    inner = source[1:-1]
    assert not re.search(r"[\x00-\x1f\x7f]", inner), "a control character stands in the source"

    def evaluate(found: re.Match[str]) -> str:
        short, four, eight = found.groups()
        if short:
            return SHORT[short]
        return chr(int(four or eight, 16)) if four or eight else found.group()[0]

    rest = ESCAPE.sub("", inner)
    assert "\\" not in rest, "a stray backslash"
    assert '"' not in rest, "a quote that ends the literal"
    return ESCAPE.sub(evaluate, inner)


def plain(value: Any) -> Any:
    """Return a python-hcl2 value with its literals evaluated and `jsonencode` opened."""
    if isinstance(value, str) and value.startswith('"'):
        return literal(value)
    if isinstance(value, str) and value.startswith("${jsonencode("):
        inside = value.removeprefix("${jsonencode(").removesuffix(")}")
        return plain(hcl2.loads(f"value = {inside}\n", serialization_options=OPTIONS)["value"])
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def read(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return `{block type or resource type: {label: attributes}}` of a file, attributes evaluated."""
    objects: dict[str, dict[str, dict[str, Any]]] = {}
    parsed = hcl2.loads(text, serialization_options=OPTIONS)
    for block in parsed.get("variable", []):
        for label, body in block.items():
            assert literal(label) not in objects.setdefault("variable", {})
            objects["variable"][literal(label)] = plain(body)
    for block in parsed.get("resource", []):
        for kind, labelled in block.items():
            for label, body in labelled.items():
                assert literal(label) not in objects.setdefault(literal(kind), {})
                objects[literal(kind)][literal(label)] = plain(body)
    return objects
