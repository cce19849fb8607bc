"""Nobody can hold up a colleague's ending: whatever they share with the login, pass on, or keep locked."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused, TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.statements import advice
from devstack.recipe import prepare_target
from tests.orders import as_made, to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions
from tests.provisioning.dba import do_as_told

VERSIONS = [18, 16, 14]

GIFTS = {
    "large object": "SELECT lo_create(424242); GRANT SELECT ON LARGE OBJECT 424242 TO {bob}",
    "temporary table": "CREATE TEMP TABLE t (id int); GRANT ALL ON t TO {bob}",
    "column of a temporary table": "CREATE TEMP TABLE t (id int); GRANT SELECT (id) ON t TO {bob}",
    "temporary sequence": "CREATE TEMP SEQUENCE s; GRANT USAGE ON SEQUENCE s TO {bob}",
    "table": "CREATE TABLE play.t (id int); GRANT SELECT ON play.t TO {bob} WITH GRANT OPTION",
    "column": "CREATE TABLE play.t (id int); GRANT SELECT (id), UPDATE (id) ON play.t TO {bob}",
    "view": "CREATE VIEW play.v AS SELECT 1 AS one; GRANT SELECT ON play.v TO {bob}",
    "sequence": "CREATE SEQUENCE play.s; GRANT USAGE ON SEQUENCE play.s TO {bob}",
    "function": "CREATE FUNCTION play.f(a int, OUT b text) LANGUAGE sql AS $$SELECT 'x'$$;"
    " GRANT EXECUTE ON FUNCTION play.f TO {bob}",
    "procedure": "CREATE PROCEDURE play.p(a int) LANGUAGE sql AS $$SELECT 1$$; GRANT ALL ON PROCEDURE play.p TO {bob}",
    "type": "CREATE TYPE play.pair AS (a int); GRANT USAGE ON TYPE play.pair TO {bob}",
    "domain": "CREATE DOMAIN play.small AS int; GRANT USAGE ON DOMAIN play.small TO {bob}",
    "schema": "CREATE SCHEMA alices; GRANT ALL ON SCHEMA alices TO {bob}",
    "foreign server": "CREATE SERVER alices FOREIGN DATA WRAPPER nowhere;"
    " GRANT USAGE ON FOREIGN SERVER alices TO {bob}; CREATE USER MAPPING FOR {bob} SERVER alices",
    "default privileges": "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {bob};"
    " ALTER DEFAULT PRIVILEGES IN SCHEMA play GRANT EXECUTE ON FUNCTIONS TO {bob}",
    "policy": "CREATE TABLE play.t (id int); ALTER TABLE play.t ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY mine ON play.t TO {bob} USING (true); CREATE POLICY two ON play.t TO {bob}, {alice} USING (true)",
}
AT_THE_END = "SELECT r.rolname::text FROM pg_roles r JOIN pg_auth_members m ON m.member = r.oid WHERE m.roleid = %s"


def open_shop(new_shop: Callable[..., Shop], version: int) -> Shop:
    """A shop where logins may make schemas, tables and foreign servers."""
    shop = new_shop(version)
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
        dba.execute("CREATE FOREIGN DATA WRAPPER nowhere; GRANT USAGE ON FOREIGN DATA WRAPPER nowhere TO PUBLIC")
        names = {"database": sql.Identifier(shop.database)}
        dba.execute(sql.SQL("GRANT CREATE ON DATABASE {database} TO PUBLIC, jit_quarantine").format(**names))
    return shop


def applied(shop: Shop, who: str, tables: str = "orders") -> GrantOrder:
    order = new_order(permissions("SELECT", "app", tables), who=who)
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def as_identifiers(**orders: GrantOrder) -> dict[str, sql.Composable]:
    return {name: sql.Identifier(order.login.role_name) for name, order in orders.items()}


def members_of(shop: Shop, order: GrantOrder) -> list[str]:
    """Return who is a member of the login besides by being who made it."""
    with shop.as_dba() as dba:
        options = " AND (m.inherit_option OR m.set_option)" if shop.server.version >= 16 else ""
        return [name for (name,) in dba.execute(AT_THE_END + options, [order.login.role_oid]).fetchall()]  # type: ignore[call-overload]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("gift", GIFTS)
def test_what_a_colleague_shared_goes_with_the_login(new_shop: Callable[..., Shop], version: int, gift: str) -> None:
    shop = open_shop(new_shop, version)
    alice, bob = applied(shop, "alice"), applied(shop, "bob")
    user = shop.log_in(alice)
    user.execute(sql.SQL(GIFTS[gift]).format(**as_identifiers(alice=alice, bob=bob)))  # type: ignore[arg-type]
    with shop.log_in(bob) as other:
        other.execute("SELECT lo_create(0)")

    receipt = end_grant(shop.target, to_end(bob))

    assert receipt.reassigned == (shop.database,)
    assert shop.roles(bob) == 0
    assert user.execute("SELECT count(*) FROM app.orders").fetchone() == (1,), "nobody was cut for it"
    assert members_of(shop, alice) == []
    user.close()
    end_grant(shop.target, to_end(alice))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_colleague_shared_in_another_database_goes_too(new_shop: Callable[..., Shop], version: int) -> None:
    shop = open_shop(new_shop, version)
    other = f"other_{secrets.token_hex(4)}"
    with shop.as_dba() as dba:
        owner = sql.Identifier(f"{shop.database}_owner")
        dba.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(other), owner))
        prepare_target(dba, login=shop.target.username, password=ADMIN_PASSWORD, databases=[other])
    alice, bob = applied(shop, "alice"), applied(shop, "bob")
    with shop.server.connect(other, alice.login.role_name, alice.password) as user:
        text = sql.SQL("SELECT lo_create(4711); GRANT ALL ON LARGE OBJECT 4711 TO {bob}")
        user.execute(text.format(**as_identifiers(bob=bob)))
    assert end_grant(shop.target, to_end(bob)).reassigned == ()
    assert shop.roles(bob) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_colleague_passes_on_of_anothers_goes_too(new_shop: Callable[..., Shop], version: int) -> None:
    """Carol's table, passed on by Alice: the grantor is not the owner, and both are logins of the portal."""
    shop = open_shop(new_shop, version)
    alice, bob, carol = applied(shop, "alice"), applied(shop, "bob"), applied(shop, "carol")
    names = as_identifiers(alice=alice, bob=bob)
    with shop.log_in(carol) as user:
        user.execute("SELECT lo_create(815); CREATE TABLE play.t (id int)")
        user.execute(sql.SQL("GRANT SELECT ON LARGE OBJECT 815 TO {alice} WITH GRANT OPTION").format(**names))
        user.execute(sql.SQL("GRANT SELECT ON play.t TO {alice} WITH GRANT OPTION").format(**names))
    with shop.log_in(alice) as user:
        user.execute(sql.SQL("GRANT SELECT ON LARGE OBJECT 815 TO {bob}").format(**names))
        user.execute(sql.SQL("GRANT SELECT (id), SELECT ON play.t TO {bob}").format(**names))
    assert end_grant(shop.target, to_end(bob)).notes == ()
    assert [members_of(shop, order) for order in (alice, carol)] == [[], []]
    with shop.log_in(alice) as user:
        user.execute("SELECT * FROM play.t")
    assert isinstance(end_grant(shop.target, to_end(alice)), EndReceipt)


@proves(advice.take_back_by_hand)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_stranger_gave_is_told_with_what_takes_it_back(new_shop: Callable[..., Shop], version: int) -> None:
    """The portal acts as no role of others. All else is gone by then, and the advice works."""
    shop = open_shop(new_shop, version)
    alice, bob = applied(shop, "alice"), applied(shop, "bob")
    stranger = f"stranger_{secrets.token_hex(4)}"
    names = as_identifiers(bob=bob)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(stranger)))
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(stranger)))
        dba.execute(sql.SQL("CREATE TABLE play.s (id int); GRANT SELECT ON play.s TO {bob}").format(**names))
    with shop.log_in(alice) as user:
        user.execute(sql.SQL("SELECT lo_create(99); GRANT SELECT ON LARGE OBJECT 99 TO {bob}").format(**names))
    with shop.log_in(bob) as user:
        user.execute("CREATE TABLE play.own (id int)")
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(bob))
    assert refusal.value.sqlstate == "2BP01"
    assert f"SET ROLE {stranger}; REVOKE SELECT ON TABLE play.s FROM" in refusal.value.todo
    assert "LARGE OBJECT" not in refusal.value.todo
    assert members_of(shop, bob) == members_of(shop, alice) == []
    with shop.as_dba() as dba:
        assert dba.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'own'").fetchone() == ("jit_quarantine",)
    do_as_told(shop, refusal.value.todo)
    assert end_grant(shop.target, to_end(bob)).reassigned == ()


LOCKS = {
    "uncommitted grant": "BEGIN; SELECT lo_create(5); GRANT SELECT ON LARGE OBJECT 5 TO {bob}",
    "look at its address": "BEGIN; SELECT pg_get_object_address('role', ARRAY[{name}], '{{}}')",
    "its list of privileges": "BEGIN; GRANT SELECT ON LARGE OBJECT 4 TO {alice}",
    "its table": "BEGIN; LOCK TABLE play.bobs IN ACCESS EXCLUSIVE MODE",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_colleague_who_keeps_an_ending_waiting_is_cut(new_shop: Callable[..., Shop], version: int, lock: str) -> None:
    shop = open_shop(new_shop, version)
    alice, bob, carol = applied(shop, "alice"), applied(shop, "bob"), applied(shop, "carol")
    names = {**as_identifiers(alice=alice, bob=bob), "name": sql.Literal(bob.login.role_name)}
    holder, bystander = shop.log_in(alice, application_name="patience"), shop.log_in(carol)
    holder.execute(sql.SQL("SELECT lo_create(4); GRANT SELECT ON LARGE OBJECT 4 TO {bob}").format(**names))
    with shop.log_in(bob) as user:
        user.execute(sql.SQL("CREATE TABLE play.bobs (id int); GRANT ALL ON play.bobs TO {alice}").format(**names))
    holder.execute(sql.SQL(LOCKS[lock]).format(**names))  # type: ignore[arg-type]
    bystander.execute("BEGIN; SELECT * FROM app.orders")

    receipt = end_grant(shop.target, to_end(bob))

    assert shop.roles(bob) == 0
    [note] = receipt.notes
    assert f"the session “patience” of {alice.login.role_name} (pid {holder.info.backend_pid}" in note
    with pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")
    bystander.execute("SELECT 1")
    shop.log_in(alice).execute("SELECT * FROM app.orders").close()


@proves(advice.end_backends)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_stranger_who_keeps_an_ending_waiting_is_named(new_shop: Callable[..., Shop], version: int) -> None:
    shop = open_shop(new_shop, version)
    bob, carol = applied(shop, "bob"), applied(shop, "carol")
    stranger = shop.server.connect(shop.database, application_name="nightly batch")
    stranger.execute("BEGIN")
    stranger.execute("SELECT pg_get_object_address('role', %s, '{}')", [[bob.login.role_name]])
    held_up, ended = end_grants(shop.target, [to_end(bob), to_end(carol)])
    assert isinstance(ended, EndReceipt)
    assert isinstance(held_up, TargetUnavailable)
    assert f"the session “nightly batch” of postgres (pid {stranger.info.backend_pid}, in a transaction" in held_up.why
    assert not held_up.is_server_wide
    stranger.execute("SELECT 1")
    do_as_told(shop, held_up.todo)
    with pytest.raises(psycopg.OperationalError):
        stranger.execute("SELECT 1")
    assert isinstance(end_grant(shop.target, to_end(bob)), EndReceipt)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_colleague_cannot_take_turns_with_themselves(new_shop: Callable[..., Shop], version: int) -> None:
    """Twenty sessions hold it together: all of them are cut at once."""
    shop = open_shop(new_shop, version)
    alice, bob = applied(shop, "alice"), applied(shop, "bob")
    sessions = [shop.log_in(alice) for _ in range(12)]
    for session in sessions:
        session.execute("BEGIN")
        session.execute("SELECT pg_get_object_address('role', %s, '{}')", [[bob.login.role_name]])
    assert len(end_grant(shop.target, to_end(bob)).notes) == 12
    assert shop.roles(bob) == 0
