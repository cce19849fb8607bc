"""JSON that people paste: bounded in size and depth, and the same for every reader."""

from __future__ import annotations

import json

import pytest

from accessmgmt.domain.texts import MOST_JSON_CHARACTERS, read_json
from tests.limits import cpu_limit


def test_a_key_that_stands_twice_is_named() -> None:
    with pytest.raises(ValueError, match="The key “host” stands there twice"):
        read_json(
            '{"port": 1, "host": "a", "password": "b", "host": "c", "port": 2, "host": "d"}'.replace("port", "p", 1)
        )


@pytest.mark.parametrize("piece", ["[", '{"a":', '"\\', '"a",', "1,", "\\", '"" '])
def test_the_time_to_read_grows_with_the_length_alone(piece: str) -> None:
    text = "[" + piece * ((MOST_JSON_CHARACTERS - 1) // len(piece))
    with cpu_limit("reading the JSON text", seconds=30), pytest.raises(ValueError):
        read_json(text)


def test_one_key_of_very_many_that_stands_twice_is_found_quickly() -> None:
    """A million keys need a second, each compared with each would need hours: as many as fit into a request count."""
    pairs = [f'"{number:06}":1' for number in range(MOST_JSON_CHARACTERS // 11 - 1)]
    with cpu_limit("looking for the key", seconds=15), pytest.raises(ValueError, match="The key “045452” stands"):
        read_json(f"{{{','.join([*pairs, pairs[-1]])}}}")
    assert read_json(f"{{{','.join(pairs)}}}") == json.loads(f"{{{','.join(pairs)}}}")
