"""Labels are identifiers, never alike, and stay put."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accessmgmt.domain.hcl.errors import DuplicateNameError, HclTextError
from accessmgmt.domain.hcl.labels import assign_labels, base_label
from tests.domain.hcl.hcl_strategies import names

name_lists = st.lists(names | st.sampled_from(["a-b", "a b", "A.B", "a_b_2", "a_b"]), max_size=8, unique=True)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("postgres-production", "postgres_production"),
        ("  Read  Replica (EU) ", "read_replica_eu"),
        ("camelCase", "camelcase"),
        ("Größe Müller", "grosse_muller"),
        ("Smørrebrød Łódź", "smorrebrod_lodz"),
        ("9lives", "resource_9lives"),
        ("count", "count"),
        ("数据库", "resource_263200d7"),
        ("prod-数据库", "prod_302d26e1"),
        ("***", "resource_596f4162"),
        ("x" * 65, "x" * 55 + "_9537c5fd"),
    ],
)
def test_a_name_asks_for_a_label(name, label):
    assert base_label(name, "resource") == label


def test_names_that_ask_for_the_same_label_are_numbered():
    assert assign_labels(["a b", "A-B", "a-b"], "resource") == {"a b": "a_b", "A-B": "a_b_2", "a-b": "a_b_3"}


def test_the_name_that_is_the_label_keeps_it():
    assert assign_labels(["a b", "a_b"], "resource") == {"a b": "a_b_2", "a_b": "a_b"}


def test_a_number_that_a_name_asks_for_is_skipped():
    labels = assign_labels(["a-b", "a b", "a_b_2"], "resource")
    assert labels == {"a b": "a_b", "a-b": "a_b_3", "a_b_2": "a_b_2"}


def test_a_name_twice_is_refused():
    with pytest.raises(DuplicateNameError):
        assign_labels(["a", "b", "a"], "resource")


@pytest.mark.parametrize("name", ["\ud800", "a\x00"])
def test_a_name_that_hcl_cannot_hold_is_refused(name):
    with pytest.raises(HclTextError):
        base_label(name, "resource")


@given(name_lists)
def test_labels_are_identifiers_and_never_alike(given_names):
    labels = assign_labels(given_names, "group")
    assert set(labels) == set(given_names)
    assert len(set(labels.values())) == len(labels)
    for label in labels.values():
        assert re.fullmatch(r"[a-z_][a-z0-9_]{0,70}", label)


@given(name_lists, st.randoms())
def test_order_of_names_does_not_matter(given_names, random):
    shuffled = random.sample(given_names, len(given_names))
    assert list(assign_labels(shuffled, "group").items()) == list(assign_labels(given_names, "group").items())


@given(name_lists, names)
def test_an_unrelated_name_changes_no_label(given_names, added):
    base = base_label(added, "group")
    bases = {base_label(name, "group") for name in given_names}
    assume(base not in bases and re.sub(r"_\d+$", "", base) not in bases)
    before = assign_labels(given_names, "group")
    after = assign_labels([*given_names, added], "group")
    assert {name: after[name] for name in before} == before
