"""What a login hands to other accounts ends with it: memberships at any depth, and sessions that hold its rights."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from devstack.postgres import PostgresServer
from devstack.stack import wait_for_replay
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions, target_of
from tests.provisioning.dba import sql_in

PASSWORD = "a-pass-word"
READ = "SELECT count(*) FROM app.orders"


@dataclass
class Case:
    """A grant of Alice's, and other accounts: friend, its friend, and a stranger."""

    shop: Shop
    order: GrantOrder
    suffix: str

    def name(self, who: str) -> str:
        return {"alice": self.order.login.role_name, "set": self.order.set.capability}.get(who, f"{who}_{self.suffix}")

    def named(self, text: str) -> sql.Composed:
        words = ("alice", "set", "friend", "second", "stranger", "owner")
        return sql.SQL(text).format(**{who: sql.Identifier(self.name(who)) for who in words})  # type: ignore[arg-type]

    def dba(self, *statements: str) -> None:
        with self.shop.as_dba() as conn:
            for text in statements:
                conn.execute(self.named(text))

    def log_in(self, who: str, *statements: str) -> psycopg.Connection:
        password = self.order.password if who == "alice" else PASSWORD
        conn = self.shop.server.connect(self.shop.database, self.name(who), password)
        for text in statements:
            conn.execute(self.named(text))
        return conn

    def end(self) -> EndReceipt:
        return end_grant(self.shop.target, to_end(self.order))

    def memberships_of(self, who: str) -> int:
        with self.shop.as_dba() as conn:
            query = "SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole"
            return int(conn.execute(query, [self.name(who)]).fetchall()[0][0])


def case_on(shop: Shop) -> Case:
    order = of_installation(new_order(permissions("SELECT", "app", "orders")), new_installation())
    receipt = apply_grant(shop.target, order)
    order = as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)
    case = Case(shop, order, secrets.token_hex(4))
    for who in ("friend", "second", "stranger"):
        case.dba(f"CREATE ROLE {{{who}}} LOGIN PASSWORD '{PASSWORD}'")
        with shop.as_dba() as conn:
            database = sql.Identifier(shop.database)
            conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(case.name(who))))
    case.dba("CREATE ROLE {owner}")
    return case


@pytest.fixture
def case(new_shop: Callable[..., Shop], version: int) -> Case:
    return case_on(new_shop(version))


def is_cut(user: psycopg.Connection) -> bool:
    try:
        user.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    except psycopg.Error:
        return False
    return False


@pytest.mark.parametrize("option", ["", " WITH ADMIN OPTION"])
@pytest.mark.parametrize("version", [14])
def test_sessions_of_whom_a_person_let_into_the_login_end_with_it(case: Case, option: str) -> None:
    """On 14 everybody may hand their own role on; from there the way leads into the capability role."""
    case.dba("GRANT {friend} TO {second}")
    with case.log_in("alice", f"GRANT {{alice}} TO {{friend}}{option}"):
        pass
    sessions = {who: case.log_in(who, "SET ROLE {set}", READ) for who in ("friend", "second")}
    pids = [str(user.info.backend_pid) for user in sessions.values()]
    idle, stranger = case.log_in("friend"), case.log_in("stranger")
    receipt = case.end()
    assert [is_cut(user) for user in (*sessions.values(), idle)] == [True, True, True]
    assert not is_cut(stranger)
    notes = " ".join(receipt.notes)
    assert all(word in notes for word in (*map(case.name, sessions), *pids))
    assert case.memberships_of("friend") == 0
    assert case.memberships_of("second") == 1
    with case.log_in("friend") as again, pytest.raises(psycopg.errors.InsufficientPrivilege):
        again.execute(case.named("SET ROLE {set}"))


@pytest.mark.parametrize("version", [15, 16, 18])
def test_sessions_of_whom_a_dba_let_into_the_login_end_with_it(case: Case) -> None:
    """A membership is looked at when a session steps in, and when a statement begins: both go on afterwards."""
    if case.shop.server.version >= 16:
        case.dba("GRANT {alice} TO {friend} WITH SET TRUE, INHERIT FALSE")
        case.dba("GRANT {alice} TO {second} WITH SET FALSE, INHERIT TRUE")
    else:
        case.dba("GRANT {alice} TO {friend}, {second}")
    inside = case.log_in("friend", "SET ROLE {alice}", READ)
    reading = case.log_in("second")
    reading.execute("BEGIN")
    reading.execute(f"DECLARE c CURSOR FOR {READ}")  # type: ignore[arg-type]
    stranger = case.log_in("stranger")
    receipt = case.end()
    assert [is_cut(user) for user in (inside, reading, stranger)] == [True, True, False]
    assert all(case.name(who) in " ".join(receipt.notes) for who in ("friend", "second"))


@pytest.mark.parametrize("version", [14, 18])
def test_who_was_let_into_the_login_gets_nowhere_from_the_moment_its_door_is_shut(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague's own door stays open, and DROP ROLE comes seconds later: until then the login leads nowhere."""
    case.dba("GRANT {alice} TO {friend}")
    with case.log_in("friend", "SET ROLE {alice}", READ):
        pass
    tried: list[str] = []

    def step_in(description: str) -> None:
        if description == "terminate its sessions" and not tried:
            tried.append(description)
            with case.log_in("friend", "SET ROLE {alice}") as friend:
                for text in (READ, "SET ROLE {set}"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        friend.execute(case.named(text))

    monkeypatch.setattr(conversation, "before_statement", step_in)
    case.end()
    assert tried


@pytest.mark.parametrize("version", [18])
def test_who_cannot_act_with_the_logins_rights_is_left_in_peace(case: Case) -> None:
    """Inheriting from a role that may step in is no way in; neither is ADMIN alone, nor a superuser's membership."""
    case.dba(
        "GRANT {alice} TO {friend} WITH SET TRUE, INHERIT FALSE",
        "GRANT {friend} TO {second} WITH SET FALSE, INHERIT TRUE",
        "GRANT {alice} TO {stranger} WITH ADMIN TRUE, SET FALSE, INHERIT FALSE",
    )
    case.dba(
        "CREATE ROLE {owner}_".replace("{owner}_", f'"boss_{case.suffix}"') + f" SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
    )
    case.dba(f'GRANT {{alice}} TO "boss_{case.suffix}"')
    sessions = [case.log_in(who) for who in ("second", "stranger", "boss")]
    with case.shop.log_in(case.order), case.log_in("friend") as friend:
        case.end()
        assert is_cut(friend)
    assert [is_cut(user) for user in sessions] == [False, False, False]


@pytest.mark.parametrize("version", [18, 14])
def test_a_second_try_still_knows_whose_sessions_to_end(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies when the door is shut and the others' sessions still go on."""
    case.dba("GRANT {alice} TO {friend}")
    inside = case.log_in("friend", "SET ROLE {alice}")

    class Killed(BaseException):
        pass

    def die(description: str) -> None:
        if description == "read the server's clock":
            raise Killed

    monkeypatch.setattr(conversation, "before_statement", die)
    with pytest.raises(Killed):
        case.end()
    monkeypatch.undo()
    assert not is_cut(inside)
    assert case.end().verified_at
    assert is_cut(inside)


@pytest.mark.parametrize("version", [18, 16, 15, 14])
def test_memberships_that_a_login_gave_end_with_it(case: Case) -> None:
    """Up to 15 they would outlive their grantor; and who has stepped into the role stays in it without a membership."""
    case.dba("GRANT {owner} TO {alice} WITH ADMIN OPTION", "GRANT {owner} TO {second}")
    with case.log_in("alice", "GRANT {owner} TO {stranger}"):
        pass
    stranger, second = case.log_in("stranger", "SET ROLE {owner}"), case.log_in("second", "SET ROLE {owner}")
    receipt = case.end()
    assert case.memberships_of("stranger") == 0
    assert is_cut(stranger), "it would go on as that role"
    assert not is_cut(second), "somebody else let it in"
    note = next(note for note in receipt.notes if case.name("owner") in note)
    assert case.name("stranger") in note
    assert "is over" in note


@pytest.mark.parametrize("version", [15, 14])
def test_a_membership_that_may_not_be_undone_is_left_to_a_dba_in_words(case: Case) -> None:
    case.dba("GRANT {owner} TO {alice} WITH ADMIN OPTION")
    with case.log_in("alice", "GRANT {owner} TO {stranger}"):
        pass
    case.dba("ALTER ROLE {owner} SUPERUSER")
    note = next(note for note in case.end().notes if "may not undo" in note)
    with case.shop.as_dba() as dba:
        dba.execute(sql_in(note))  # type: ignore[arg-type]
    assert case.memberships_of("stranger") == 0


@pytest.mark.parametrize("version", [18, 16, 14])
def test_whom_a_login_let_into_the_capability_role_loses_it_with_its_sessions(case: Case) -> None:
    case.dba("SET ROLE jit_portal", "GRANT {set} TO {alice} WITH ADMIN OPTION")
    with case.log_in("alice", "GRANT {set} TO {stranger}"):
        pass
    inside = case.log_in("stranger", "SET ROLE {set}", READ)
    receipt = case.end()
    assert is_cut(inside)
    assert case.memberships_of("stranger") == 0
    assert case.name("stranger") in " ".join(receipt.notes)


def test_a_session_on_the_standby_ends_as_well(
    own_server: Callable[..., PostgresServer],
    own_standby: Callable[..., PostgresServer],
    shop_on: Callable[..., Shop],
    certificate_authority: object,
) -> None:
    case = case_on(shop_on(own_server(14)))
    standby = own_standby(case.shop.server)
    with case.log_in("alice", "GRANT {alice} TO {friend}"):
        pass
    wait_for_replay(case.shop.server, standby)
    inside = standby.connect(case.shop.database, case.name("friend"), PASSWORD)
    inside.execute(case.named("SET ROLE {set}"))
    target = target_of(standby, certificate_authority, case.shop.database, case.shop.target.username)  # type: ignore[arg-type]
    receipt = end_grant(replace(target, name="replica", primary=case.shop.target), to_end(case.order))
    assert is_cut(inside)
    assert any("on the standby" in note for note in receipt.notes)
