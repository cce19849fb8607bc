"""The connection test makes a real login: what would keep people out is found there, and nothing is left behind."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from accessmgmt.domain.drift import DriftOrder
from accessmgmt.domain.names import Installation
from accessmgmt.domain.targets import Rung, RungState, Target
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.check.real_login import sweep_rehearsals
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from accessmgmt.provisioning.session import conversation
from devstack.postgres import VERSIONS, PostgresServer
from tests.provisioning.conftest import Shop, new_installation, permissions
from tests.provisioning.dba import do_as_told
from tests.provisioning.test_crash import run_and_die_when
from tests.provisioning.test_promoted import Pair, pair  # noqa: F401

PERSON, END = "Sign-in of a person", "End of it"


@dataclass
class Trial:
    """A shop whose connection is tested by an installation of its own."""

    shop: Shop
    installation: Installation

    def rungs(self, target: Target | None = None) -> dict[str, Rung]:
        close_pools()
        sets = [permissions("SELECT,INSERT", "app", "orders,customers")]
        return {r.name: r for r in ladder.test_connection(target or self.shop.target, sets, self.installation)}

    def roles(self) -> list[str]:
        """Return the roles that bear a tag of this installation."""
        with self.shop.as_dba() as conn:
            rows = conn.execute(
                "SELECT objoid::regrole::text FROM pg_shdescription WHERE starts_with(description, %s) ORDER BY 1",
                [self.installation.tag_prefix],
            ).fetchall()
        return [name for (name,) in rows]

    def run(self, text: str) -> None:
        with self.shop.as_dba() as conn:
            conn.execute(text)  # type: ignore[call-overload]

    def die_while(self, description: str) -> None:
        """Test the connection in a process that is killed before this statement, when the login is there."""
        has_logged_in = False

        def is_time(text: str) -> bool:
            nonlocal has_logged_in
            has_logged_in = has_logged_in or text == "log in as the login role"
            return has_logged_in and text == description

        assert not run_and_die_when(self.rungs, is_time)

    def let_time_pass(self) -> None:
        """The time of the logins that were left is over."""
        for role in self.roles():
            if role.startswith("jit_"):
                self.run(f"ALTER ROLE {role} VALID UNTIL '2001-01-01'")
        close_pools()

    def findings(self) -> tuple[object, ...]:
        return check_drift(self.shop.target, DriftOrder(self.installation, (), ())).findings


@pytest.fixture
def tested(shop: Shop) -> Trial:
    return Trial(shop, new_installation())


@pytest.fixture(params=[14, 18])
def alone(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Trial:
    """A shop on a server of its own."""
    return Trial(shop_on(own_server(request.param)), new_installation())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_superuser", [False, True])
def test_a_login_is_made_logged_in_as_and_ended(
    shops: Callable[[int, bool], Shop], version: int, is_superuser: bool
) -> None:
    tested = Trial(shops(version, is_superuser), new_installation())
    made: list[str] = []
    conversation.before_statement = lambda text: made.extend(tested.roles() if text == "rehearse: verify" else [])
    try:
        rungs = tested.rungs()
    finally:
        conversation.before_statement = None
    assert [rungs[name].state for name in (PERSON, END)] == [RungState.PASSED] * 2, rungs
    assert "may SELECT, INSERT on app." in rungs[PERSON].detail
    assert [name.split("_")[0] for name in made] == ["jit", "jitb"], "committed before anybody logged in"
    assert tested.roles() == []


def test_a_database_without_tables_has_its_log_in_tested(new_shop: Callable[..., Shop]) -> None:
    tested = Trial(new_shop(18, tables="SELECT 1"), new_installation())
    rungs = {r.name: r for r in ladder.test_connection(tested.shop.target, [], tested.installation)}
    assert rungs[PERSON].state is RungState.PASSED
    assert tested.roles() == []


@pytest.mark.parametrize("method", ["", "reject", "cert", "password"])
def test_a_pg_hba_that_keeps_people_out_is_found(alone: Trial, method: str) -> None:
    mine = f'hostssl all postgres,"{alone.shop.target.username}" 127.0.0.0/8 scram-sha-256'
    alone.shop.server.hba = [mine, *([f"hostssl all all 127.0.0.0/8 {method}"] if method else [])]
    alone.shop.server.reload()
    rungs = alone.rungs()
    assert (rungs["Rehearsal"].state, rungs[PERSON].state, rungs[END].state) == (
        RungState.PASSED,
        RungState.FAILED,
        RungState.PASSED,
    )
    if method in {"", "reject", "cert"}:
        assert "PostgreSQL answers 28000: " in rungs[PERSON].detail, "the server's own words"
    assert rungs["Connections"].state is RungState.SKIPPED
    assert alone.roles() == []
    do_as_told(alone.shop, rungs[PERSON].fix)
    assert alone.rungs()[PERSON].state is RungState.PASSED


def test_an_event_trigger_that_lets_only_some_names_log_in_is_found(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> None:
    tested = Trial(shop_on(own_server(18)), new_installation())
    tested.run(
        "CREATE FUNCTION public.only_some() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN"
        f" IF session_user NOT IN ('postgres', '{tested.shop.target.username}') THEN"
        " RAISE EXCEPTION 'not on the list'; END IF; END$$;"
        " CREATE EVENT TRIGGER only_some ON login EXECUTE FUNCTION public.only_some()"
    )
    rung = tested.rungs()[PERSON]
    assert (rung.state, "not on the list" in rung.detail) == (RungState.FAILED, True)
    assert tested.roles() == []
    do_as_told(tested.shop, rung.fix)
    assert tested.rungs()[PERSON].state is RungState.PASSED


def test_a_database_without_room_for_people_is_found(alone: Trial) -> None:
    alone.run(f"ALTER DATABASE {alone.shop.database} CONNECTION LIMIT 1")
    rung = alone.rungs()[PERSON]
    assert (rung.state, "53300" in rung.detail) == (RungState.FAILED, True)
    assert alone.roles() == []


def test_why_a_login_cannot_be_made_is_said_in_the_server_s_words(alone: Trial) -> None:
    """The words of this statement are kept back elsewhere: here it holds nobody's password."""

    def take_the_right(description: str) -> None:
        if description == "create the login role":
            alone.run("ALTER ROLE jit_portal NOCREATEROLE")

    conversation.before_statement = take_the_right
    try:
        rungs = alone.rungs()
    finally:
        conversation.before_statement = None
    assert rungs[PERSON].state is RungState.FAILED
    assert "PostgreSQL answers 42501: permission denied to create role." in rungs[PERSON].detail
    do_as_told(alone.shop, rungs[PERSON].fix)
    assert alone.rungs()[PERSON].state is RungState.PASSED


def test_who_goes_away_in_the_middle_leaves_nothing(tested: Trial) -> None:
    climbing = ladder.test_connection(tested.shop.target, [], tested.installation)
    assert any(rung.name == PERSON for rung in climbing)
    assert len(tested.roles()) == 2
    climbing.close()  # type: ignore[attr-defined]
    assert tested.roles() == []


@pytest.mark.parametrize("sweep", ["next test", "drift check"])
@pytest.mark.parametrize(
    "boundary", ["log in as the login role", "rehearse: verify", "fence the login role", "drop the login role"]
)
def test_what_a_killed_test_leaves_is_no_orphan_and_is_swept(tested: Trial, boundary: str, sweep: str) -> None:
    tested.die_while(boundary)
    assert tested.roles()
    assert tested.findings() == (), "the portal knows what it is, and does not begin to observe"
    tested.let_time_pass()
    assert tested.findings() == ()
    if sweep == "next test":
        assert tested.rungs()[PERSON].state is RungState.PASSED
    else:
        assert sweep_rehearsals(tested.shop.target, tested.installation) == 1
    assert tested.roles() == []


def test_a_killed_test_that_left_only_its_capability_role(tested: Trial) -> None:
    tested.die_while("check that nobody is a member")
    assert [name.split("_")[0] for name in tested.roles()] == ["jitb"]
    sweep_rehearsals(tested.shop.target, tested.installation)
    assert tested.roles() == []


def test_a_test_that_is_going_on_is_left_alone(tested: Trial) -> None:
    climbing = ladder.test_connection(tested.shop.target, [], tested.installation)
    assert any(rung.name == PERSON for rung in climbing)
    assert sweep_rehearsals(tested.shop.target, tested.installation) == 0
    retire_capabilities(tested.shop.target, tested.installation, keep=())
    assert len(tested.roles()) == 2
    rest = {rung.name: rung for rung in climbing}
    assert rest[END].state is RungState.PASSED
    assert tested.roles() == []


def test_a_role_that_only_pretends_to_be_a_rehearsal_s_is_not_touched(tested: Trial) -> None:
    name = f"jit_rehearsal_{secrets.token_hex(5)}"
    tag = tested.installation.tag("grant", "rehearsal-1", "jit_another_one")
    tested.run(f"CREATE ROLE {name} LOGIN VALID UNTIL '2001-01-01'; COMMENT ON ROLE {name} IS '{tag}'")
    assert sweep_rehearsals(tested.shop.target, tested.installation) == 0
    assert tested.roles() == [name]
    tested.run(f"DROP ROLE {name}")


def test_tests_at_the_same_time_do_not_disturb_each_other(tested: Trial) -> None:
    found: list[list[Rung]] = []

    def climb() -> None:
        sets = [permissions("SELECT,INSERT", "app", "orders")]
        found.append(list(ladder.test_connection(tested.shop.target, sets, tested.installation)))

    threads = [threading.Thread(target=climb) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[rung for rung in rungs if rung.state is not RungState.PASSED] for rungs in found] == [[], [], []]
    assert tested.roles() == []


def test_on_a_standby_people_log_in_on_the_standby(pair: Pair) -> None:  # noqa: F811
    tested = Trial(pair.shop, new_installation())
    rungs = tested.rungs(pair.replica)
    assert [rungs[name].state for name in (PERSON, END)] == [RungState.PASSED] * 2, rungs
    mine = f'hostssl all postgres,"{pair.shop.target.username}" 127.0.0.0/8 scram-sha-256'
    pair.second.hba = [mine, "host replication all 127.0.0.0/8 scram-sha-256"]
    pair.second.reload()
    rungs = tested.rungs(pair.replica)
    assert [rungs[name].state for name in (PERSON, END)] == [RungState.FAILED, RungState.PASSED], rungs
    assert tested.roles() == []
    assert tested.rungs(replace(pair.main))[PERSON].state is RungState.PASSED
