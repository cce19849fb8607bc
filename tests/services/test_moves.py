"""The moves of a grant: each leaves a row that the database accepts, and nothing else writes a grant's state."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

import accessmgmt
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.domain.targets import ApplyReceipt
from accessmgmt.models import Grant
from accessmgmt.services.grants import moves
from tests import factories

ROOT = Path(accessmgmt.__file__).parent
HOME = ROOT / "services/grants/moves.py"
WRITERS = {"Grant", "create", "update", "bulk_create", "get_or_create", "update_or_create", "move_grants"}
RECEIPT = ApplyReceipt(
    role_oid=16_384,
    valid_until=datetime(2030, 1, 1, tzinfo=UTC),
    server_version=18,
    tables=(),
    table_count=0,
    unmatched=(),
    public_extras=0,
    steps_ms={},
    verified_at=datetime(2030, 1, 1, tzinfo=UTC),
)
MOVES: dict[str, Callable[[], moves.Move]] = {
    "take up": moves.take_up,
    "activate": lambda: moves.activate(RECEIPT, expires_at=timezone.now()),
    "begin ending": lambda: moves.begin_ending(EndReason.EXPIRED, wake_after=timedelta(seconds=5)),
    "end": lambda: moves.end(factories.END_RECEIPT),
    "fail": lambda: moves.fail(factories.END_RECEIPT),
}
ARROWS = [(name, source) for name, make in MOVES.items() for source in make().sources]
NO_ARROWS = [(name, state) for name in MOVES for state in GrantState if (name, state) not in ARROWS]


def move_many(grant: Grant, move: moves.Move) -> None:
    moves.move_grants(Grant.objects.filter(pk=grant.pk), move)


def test_the_moves_are_those_that_are_drawn() -> None:
    drawn = {(source.value, make().fields["state"].value) for make in MOVES.values() for source in make().sources}
    assert drawn == {
        ("queued", "applying"),
        ("applying", "active"),
        ("applying", "failed"),
        ("queued", "ending"),
        ("applying", "ending"),
        ("active", "ending"),
        ("ending", "ended"),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("make_it", [moves.move_grant, move_many], ids=["a locked row", "many rows"])
@pytest.mark.parametrize(("name", "source"), ARROWS)
def test_every_move_leaves_a_row_that_keeps_the_constraints(
    name: str, source: GrantState, make_it: Callable[[Grant, moves.Move], object]
) -> None:
    grant = factories.make_grant(source, attempts=3)
    move = MOVES[name]()
    make_it(grant, move)
    grant.refresh_from_db()
    grant.validate_constraints()
    assert grant.state == move.fields["state"]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "state"), NO_ARROWS)
def test_no_move_begins_anywhere_else(name: str, state: GrantState) -> None:
    grant = factories.make_grant(state)
    assert moves.move_grants(Grant.objects.filter(pk=grant.pk), MOVES[name]()) == 0
    with pytest.raises(ValueError, match=f"is {state}"):
        moves.move_grant(grant, MOVES[name]())
    grant.refresh_from_db()
    assert grant.state == state


@pytest.mark.django_db
@pytest.mark.parametrize("source", moves.begin_ending(EndReason.EXPIRED).sources)
def test_an_ending_counts_its_tries_from_nothing_and_leaves_the_lease(source: GrantState) -> None:
    """With tries of the apply, its worker would be taken for one that ends, and hold up the resource's endings."""
    until = timezone.now() + timedelta(seconds=20)
    grant = factories.make_grant(source, attempts=7, lease_until=until)
    moves.move_grant(grant, moves.begin_ending(EndReason.REVOKED))
    grant.refresh_from_db()
    assert (grant.attempts, grant.lease_until) == (0, until)


@pytest.mark.parametrize("name", ["activate", "end", "fail"])
def test_a_worker_that_is_done_gives_its_lease_back(name: str) -> None:
    fields = MOVES[name]().fields
    assert fields == {**fields, **moves.NO_LEASE}


def written_states(source: str) -> list[int]:
    """Return the lines that write a state of grants: by assignment, as a field, or in a mapping of fields."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=targets, value=value) if any(_is_state(target) for target in targets):
                found += [node.lineno] if _is_of_grants(value) else []
            case ast.Call(func=func, keywords=keywords) if _name(func) in WRITERS:
                found += [node.lineno for word in keywords if word.arg == "state" and _is_of_grants(word.value)]
            case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value="state"), value]):
                found += [node.lineno] if _is_of_grants(value) else []
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                found += [node.lineno for key, value in pairs if _says_state(key) and _is_of_grants(value)]
            case _:
                pass
    return found


def _is_state(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and target.attr == "state"


def _says_state(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "state"


def _name(func: ast.expr) -> str:
    return ast.unparse(func).rpartition(".")[2]


def _is_of_grants(value: ast.expr) -> bool:
    """Say whether a value is made of a state of grants: by its name, or written out."""
    states = set(GrantState)
    return any(
        (isinstance(node, ast.Name) and node.id == "GrantState")
        or (isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in states)
        for node in ast.walk(value)
    )


def test_no_other_module_writes_a_state() -> None:
    paths = [path for path in ROOT.rglob("*.py") if path != HOME and "migrations" not in path.parts]
    assert len(paths) > 100
    found = {str(path.relative_to(ROOT)): written_states(path.read_text()) for path in paths}
    assert not {path: lines for path, lines in found.items() if lines}


def test_the_module_itself_writes_each_state_once() -> None:
    assert len(written_states(HOME.read_text())) == len(MOVES)


@pytest.mark.parametrize(
    "line",
    [
        "row.state = GrantState.ENDING",
        'grant.state = "ending"',
        "row.state = GrantState.ENDED if proved else GrantState.FAILED",
        "Grant.objects.filter(pk=pk).update(state=GrantState.ACTIVE)",
        'rows.update(state="ended", attempts=0)',
        "Grant(state=GrantState.ACTIVE)",
        'fields = {"state": GrantState.ACTIVE}',
        'setattr(row, "state", GrantState.ACTIVE)',
    ],
)
def test_a_written_state_is_noticed(line: str) -> None:
    assert written_states(line) == [1]
