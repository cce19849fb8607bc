"""A short storm, and the proof that the checker sees what it is there to see. `make bench` runs the long one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from psycopg import sql

from devstack.workspace import make_workspace
from tests.chaos.checker import Login
from tests.chaos.storm import VICTIMS, Storm, installation

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("storm")]
COUNT, SECONDS, SEED = 60, 25.0, 20
PASSWORD = "planted-by-the-test"


@pytest.fixture(scope="module")
def storm() -> Iterator[Storm]:
    """An installation after a storm; everything runs again."""
    with installation(make_workspace("storm") / "stack") as made:
        made.run(count=COUNT, seconds=SECONDS, seed=SEED)
        yield made


def test_nothing_outlives_its_time_in_a_storm(storm: Storm) -> None:
    outcome = storm.outcome
    verdict = outcome.verdict
    assert verdict is not None
    assert verdict.leaked == ()
    assert verdict.unknown == ()
    assert verdict.stuck == ()
    assert verdict.missing == ()
    assert sum(verdict.states.values()) == outcome.people["activated"] == COUNT
    assert outcome.people["sessions"] > 0
    assert set(outcome.kills) == set(VICTIMS)


def test_the_checker_sees_what_is_planted(storm: Storm) -> None:
    for name in ("beat", "worker-ending", "worker-applying", "worker-upkeep"):
        storm.stack.kill(name)
    with storm.stack.portal_server.connect("portal") as conn:
        over = "SELECT role_name, id FROM accessmgmt_grant WHERE state = 'ended' ORDER BY role_name LIMIT 2"
        ended, waits = conn.execute(over).fetchall()
        conn.execute("UPDATE accessmgmt_grant SET state = 'queued' WHERE id = %s", [waits[1]])
    plant_role(storm, "jit_storm_aaaaaaaaaa", uuid.uuid4())
    plant_role(storm, ended[0], ended[1])
    with storm.stack.primary.connect("production", ended[0], PASSWORD):
        verdict = storm.checker().look([Login(ended[0], PASSWORD)])
    assert [line.split()[0] for line in verdict.unknown] == ["jit_storm_aaaaaaaaaa"]
    assert {line.split()[0] for line in verdict.leaked} == {"role", "session", "login"}
    assert all(line.split()[1] == ended[0] for line in verdict.leaked)
    assert len(verdict.stuck) == 1
    assert waits[0] in verdict.stuck[0]


def plant_role(storm: Storm, name: str, grant_id: uuid.UUID) -> None:
    """Make a login role with a portal's tag, as a database superuser can."""
    role = sql.Identifier(name)
    tag = f"access-portal:planted:grant:{grant_id}"
    with storm.stack.primary.connect() as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(PASSWORD)))
        conn.execute(sql.SQL("GRANT CONNECT ON DATABASE production TO {}").format(role))
        conn.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(tag)))
