"""A checker that cannot fail proves nothing: each kind of survivor is planted by hand, and has to be found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.hostile import doors, probes
from tests.hostile.acts import ALICE, BOB, DBA, WALTER, Story
from tests.hostile.advice import Told, read_advice
from tests.hostile.catalogue import ACTS, NEEDS
from tests.hostile.facts import Fact, read_facts
from tests.hostile.ground import ground
from tests.hostile.trial import Trial

FIRE = (
    "CREATE FUNCTION play.a_fire() RETURNS trigger LANGUAGE plpgsql AS"
    " $$BEGIN INSERT INTO bait.marks VALUES (current_user, 'a'); RETURN new; END$$"
)
TABLE = "CREATE TABLE play.a_t (id int, note text); ALTER TABLE play.a_t OWNER TO jit_quarantine"
FUNCTION = (
    "CREATE FUNCTION play.a_peek() RETURNS SETOF app.orders LANGUAGE sql AS 'SELECT * FROM app.orders';"
    " REVOKE ALL ON FUNCTION play.a_peek() FROM PUBLIC"
)
SURVIVORS = {
    "right of an outsider": "GRANT SELECT ON app.orders TO walter",
    "right of everybody": "GRANT SELECT ON secret.salaries TO PUBLIC",
    "right on a column": "GRANT UPDATE (item) ON app.orders TO walter",
    "right on a sequence": "GRANT USAGE ON SEQUENCE app.free_numbers TO reports",
    "right on a schema": "GRANT CREATE ON SCHEMA app TO reports",
    "right on a database": "GRANT CREATE ON DATABASE {db} TO walter",
    "right on a function": "GRANT EXECUTE ON FUNCTION app.number_of_orders() TO walter WITH GRANT OPTION",
    "right on a type": "GRANT USAGE ON TYPE app.mood TO walter",
    "right on a language": "GRANT USAGE ON LANGUAGE plpgsql TO walter",
    "right on a foreign data wrapper": "GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO walter",
    "right on a tablespace": "GRANT CREATE ON TABLESPACE pg_default TO walter",
    "right on a catalog": "GRANT SELECT ON pg_authid TO walter",
    "right on a leftover": f"{TABLE}; GRANT SELECT ON play.a_t TO walter",
    "right of everybody to run a leftover": "CREATE FUNCTION play.a_f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
    " ALTER FUNCTION play.a_f() OWNER TO jit_quarantine",
    "right on a large object": "SELECT lo_create(9001); ALTER LARGE OBJECT 9001 OWNER TO jit_quarantine;"
    " GRANT SELECT ON LARGE OBJECT 9001 TO walter",
    "default privileges for an outsider": "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner"
    " GRANT SELECT ON TABLES TO walter",
    "default privileges of a capability role": "ALTER DEFAULT PRIVILEGES FOR ROLE {cap}"
    " GRANT SELECT ON TABLES TO walter",
    "right passed on by a capability role": "GRANT SELECT ON app.stock TO {cap} WITH GRANT OPTION; SET ROLE {cap};"
    " GRANT SELECT ON app.stock TO reports; RESET ROLE",
    "more for a capability role": "GRANT SELECT ON secret.salaries TO {cap}",
    "more for a capability role, to pass on": "GRANT SELECT ON app.orders TO {cap} WITH GRANT OPTION",
    "member of a capability role": "GRANT {cap} TO walter",
    "capability role in a group": "GRANT app_owner TO {cap}",
    "admin role in a live login": "GRANT {bob} TO jit_portal{inherit}",
    "member of a live login": "GRANT {bob} TO walter",
    "trigger": f"{FIRE}; CREATE TRIGGER a_x AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION play.a_fire()",
    "trigger with a built-in function": "CREATE TRIGGER a_nop BEFORE INSERT ON app.customers FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "rule": "CREATE RULE a_rule AS ON INSERT TO app.orders DO ALSO NOTHING",
    "policy": "CREATE POLICY a_policy ON app.orders USING (true)",
    "row security": "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY",
    "foreign key": "CREATE TABLE play.a_ref (id int REFERENCES app.orders);"
    " ALTER TABLE play.a_ref OWNER TO jit_quarantine",
    "heir": "CREATE TABLE play.a_heir () INHERITS (app.orders); ALTER TABLE play.a_heir OWNER TO jit_quarantine",
    "default": "ALTER TABLE app.orders ALTER touched SET DEFAULT 7",
    "check": "ALTER TABLE app.orders ADD CONSTRAINT a_check CHECK (id > 0)",
    "index": "CREATE INDEX a_index ON app.orders (lower(item))",
    "column": "ALTER TABLE app.orders ADD COLUMN a_column int",
    "definer's rights of a leftover": f"{FUNCTION}; ALTER FUNCTION play.a_peek() OWNER TO jit_quarantine;"
    " ALTER FUNCTION play.a_peek() SECURITY DEFINER",
    "definer's rights of a capability role": f"{FUNCTION}; ALTER FUNCTION play.a_peek() OWNER TO {{cap}};"
    " ALTER FUNCTION play.a_peek() SECURITY DEFINER",
    "view of a capability role": "CREATE VIEW play.a_view AS SELECT * FROM app.orders;"
    " ALTER VIEW play.a_view OWNER TO {cap};"
    " GRANT SELECT ON play.a_view TO walter",
    "owner of an app table": "ALTER TABLE app.events_2024 OWNER TO walter",
    "object of an outsider": "CREATE TABLE play.a_t (id int); ALTER TABLE play.a_t OWNER TO walter",
    "other code of a function": "CREATE OR REPLACE FUNCTION app.number_of_orders() RETURNS bigint LANGUAGE sql AS"
    " 'SELECT 7::bigint'",
    "event trigger": "CREATE FUNCTION play.a_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    " CREATE EVENT TRIGGER a_event ON ddl_command_end EXECUTE FUNCTION play.a_event()",
    "publication": "CREATE PUBLICATION a_pub FOR TABLE app.orders",
    "user mapping": "CREATE SERVER a_server FOREIGN DATA WRAPPER postgres_fdw;"
    " CREATE USER MAPPING FOR walter SERVER a_server",
    "setting": "ALTER ROLE walter SET search_path = play",
    "setting of the database": "ALTER DATABASE {db} SET search_path = play",
    "attribute": "ALTER ROLE walter CREATEDB",
    "password": "ALTER ROLE walter PASSWORD 'x'",
    "new role": "CREATE ROLE a_friend LOGIN",
    "capability role that may log in": "ALTER ROLE {cap} LOGIN",
    "comment": "COMMENT ON TABLE app.orders IS 'mine'",
    "right that is gone": "REVOKE SELECT ON app.customers FROM walter",
    "membership that is gone": "REVOKE jit_quarantine FROM jit_portal",
    "table that is gone": "DROP TABLE app.events_2025",
    "trigger that is switched off": "ALTER TABLE app.orders DISABLE TRIGGER touched",
    "table in another's database": "",
}
"""What is planted, by what it is."""


@pytest.fixture(scope="module", params=(14, 18))
def over(request: pytest.FixtureRequest, servers_directory: Path) -> Iterator[tuple[Trial, frozenset[Fact]]]:
    """A trial in which Alice's grant is over and Bob's stands, and the facts before."""
    with ground(request.param, servers_directory / f"checked-{request.param}") as field:
        trial = Trial(field, Story((), 0, 0))
        before = read_facts(trial.world.dba, trial.side)
        trial.world.give(BOB, 0)
        trial.world.give(ALICE, 0)
        trial._end([ALICE])
        trial.world.dba.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        yield trial, before
        trial.close()


def found(trial: Trial, before: frozenset[Fact]) -> list[str]:
    """Judge the facts as the world's own connection sees them."""
    return trial.judge_facts(before, set(read_facts(trial.world.dba, trial.side)), [BOB])


def test_nothing_is_found_where_nothing_was_left(over: tuple[Trial, frozenset[Fact]]) -> None:
    trial, before = over
    assert found(trial, before) == []


@pytest.mark.parametrize("survivor", SURVIVORS)
def test_a_survivor_is_found(over: tuple[Trial, frozenset[Fact]], survivor: str) -> None:
    trial, before = over
    world = trial.world
    values = {
        "db": world.database,
        "cap": world.logins[BOB].capability,
        "bob": world.logins[BOB].order.login.role_name,
        "inherit": " WITH INHERIT TRUE" if world.ground.version >= 16 else "",
    }
    conn = trial.side if survivor == "table in another's database" else world.dba
    conn.execute("BEGIN")
    try:
        conn.execute((SURVIVORS[survivor] or "CREATE TABLE public.a_there (id int)").format(**values))
        assert found(trial, before) != []
    finally:
        conn.execute("ROLLBACK")


def test_the_dead_are_found_among_the_living(over: tuple[Trial, frozenset[Fact]]) -> None:
    """A role that is gone and a session of it: neither PostgreSQL nor a name tells of them."""
    trial, before = over
    with trial.world.server.connect() as dba:
        dba.execute("CREATE ROLE a_ghost LOGIN PASSWORD 'x'")
        ghost = trial.world.server.connect(trial.world.database, "a_ghost", "x")
        dba.execute("DROP ROLE a_ghost")
        assert probes.look_for_sessions(dba, {}) != []
        ghost.close()
        until = time.monotonic() + 30
        while probes.look_for_sessions(dba, {}) and time.monotonic() < until:
            pass
        assert probes.look_for_sessions(dba, {}) == []
    assert found(trial, before) == []


def test_who_still_acts_as_a_role_is_found(over: tuple[Trial, frozenset[Fact]]) -> None:
    trial, _ = over
    world = trial.world
    capability = world.logins[BOB].capability
    outsider = world.connect(WALTER)
    world.dba.execute(f"GRANT {capability} TO walter")
    outsider.execute(f"SET ROLE {capability}")
    assert probes.ask_session(outsider, "walter") == []
    world.dba.execute(f"REVOKE {capability} FROM walter")
    assert probes.ask_session(outsider, "walter") != []
    outsider.close()


def test_code_that_runs_as_somebody_else_is_found(over: tuple[Trial, frozenset[Fact]]) -> None:
    trial, _ = over
    dba = trial.world.dba
    dba.execute(f"{FIRE}; CREATE TRIGGER a_x BEFORE INSERT ON app.tickets FOR EACH ROW EXECUTE FUNCTION play.a_fire()")
    try:
        facts = trial.probe(set())
        assert {(fact.thing, fact.who) for fact in facts if fact.kind == "mark"} == {("code of a", "app_owner")}
    finally:
        dba.execute("DROP FUNCTION play.a_fire() CASCADE")


def test_an_application_that_is_held_up_is_found(over: tuple[Trial, frozenset[Fact]]) -> None:
    trial, _ = over
    with trial.world.server.connect(trial.world.database) as dba:
        assert trial.probe(set()) == trial.expected
        dba.execute("CREATE TABLE play.a_ref (id int REFERENCES app.orders); INSERT INTO play.a_ref VALUES (1)")
        try:
            assert trial.probe(set()) != trial.expected
        finally:
            dba.execute("DROP TABLE play.a_ref")


def test_a_colleague_who_lacks_something_is_found(over: tuple[Trial, frozenset[Fact]]) -> None:
    trial, _ = over
    world = trial.world
    login = world.logins[BOB]
    rule = trial.rule_of(login.capability)
    assert probes.look_what_lacks(world.dba, login.oid, BOB, rule) == set()
    world.dba.execute("BEGIN")
    world.dba.execute(f"REVOKE TRIGGER ON app.lines FROM {login.capability}")  # type: ignore[arg-type]
    assert [fact.thing for fact in probes.look_what_lacks(world.dba, login.oid, BOB, rule)] == ["app.lines"]
    world.dba.execute("ROLLBACK")


def test_advice_is_read_as_a_person_reads_it() -> None:
    text = (
        'It cannot be. A DBA runs: GRANT CREATE ON SCHEMA app TO "q;q"; GRANT q TO p; Then it goes on.'
        " A superuser runs, connected to shop, side: ROLLBACK PREPARED 'a;b'; (Or COMMIT PREPARED 'a;b', to keep it.)"
        " The owner of the schema app runs, connected to shop: REVOKE CREATE ON SCHEMA app FROM PUBLIC;"
    )
    assert read_advice(text) == [
        Told("DBA", (), ('GRANT CREATE ON SCHEMA app TO "q;q"', "GRANT q TO p")),
        Told("superuser", ("shop", "side"), ("ROLLBACK PREPARED 'a;b'",)),
        Told("owner", ("shop",), ("REVOKE CREATE ON SCHEMA app FROM PUBLIC",)),
    ]
    assert read_advice("Ask a DBA of this server.") == []
    several = (
        "Who gave it, or a superuser, runs: GRANT a TO b; A superuser or a member of pg_signal_backend runs: SELECT 1;"
    )
    assert [told.statements for told in read_advice(several)] == [("GRANT a TO b",), ("SELECT 1",)]


def test_an_ended_person_who_can_log_in_is_found(over: tuple[Trial, frozenset[Fact]]) -> None:
    trial, _ = over
    known = list(trial.verdict.survivors)
    trial._check_fenced(BOB, "")
    assert any("can log in" in text for text in trial.verdict.survivors)
    trial.verdict.survivors[:] = known


def test_what_is_behind_a_door_that_nobody_can_shut_is_found(over: tuple[Trial, frozenset[Fact]]) -> None:
    """Unless the portal may not take it, and tells what does."""
    trial, _ = over
    world = trial.world
    role, capability = world.logins[BOB].order.login.role_name, world.logins[BOB].capability
    assert not doors.is_stuck(world.dba, role)
    world.dba.execute(f"GRANT reports TO {role}")  # type: ignore[arg-type]
    told = f"A superuser runs: REVOKE reports FROM {role} GRANTED BY postgres; REVOKE {capability} FROM {role};"
    try:
        with world.connect(DBA) as holder:
            holder.execute("BEGIN")
            holder.execute("LOCK TABLE pg_authid IN SHARE MODE")
            assert doors.is_stuck(world.dba, role)
            both = {(capability, "jit_portal"), ("reports", "postgres")}
            assert doors.what_may_be_taken(world.dba, role, "") == both
            is_told_enough = world.ground.version >= 16
            left = {(capability, "jit_portal")} if is_told_enough else both
            assert doors.what_may_be_taken(world.dba, role, told) == left
            holder.execute("LOCK TABLE pg_auth_members IN SHARE MODE")
            assert doors.what_may_be_taken(world.dba, role, "") == set()
            holder.execute("ROLLBACK")
    finally:
        world.dba.execute(f"REVOKE reports FROM {role}")  # type: ignore[arg-type]


def test_a_refusal_is_no_answer_of_the_checker(over: tuple[Trial, frozenset[Fact]]) -> None:
    """What the probes try must be possible on a fresh ground, or nothing could be told from it."""
    trial, _ = over
    refused = [str(fact) for fact in trial.expected if fact.what[:5].isalnum() and not fact.what[0].isdigit()]
    assert refused == []
    with pytest.raises(psycopg.Error):
        trial.world.connect(WALTER).execute("SELECT * FROM app.orders")


def test_the_catalogue_is_large_and_every_preparation_is_an_act() -> None:
    assert len(ACTS) >= 60
    assert {step.act for steps in NEEDS.values() for step in steps} | set(NEEDS) <= set(ACTS)
