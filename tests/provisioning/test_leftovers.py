"""What a login leaves on a server: handed to a chosen owner, or listed and left to an admin."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.recipe import prepare_database, prepare_target
from tests.orders import as_made, to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, make_shop, new_order, permissions
from tests.provisioning.dba import sql_in

VERSIONS = [18, 16, 14]


def open_playground(shop: Shop) -> None:
    """Make a schema in which everybody may create, as the set-up's page says for such schemas."""
    with shop.as_dba() as conn:
        conn.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC")
        prepare_database(conn)


def second_database(shop: Shop) -> str:
    """Make another database on the shop's server that the portal may enter."""
    name = f"other_{secrets.token_hex(4)}"
    with shop.as_dba() as conn:
        owner = f"{shop.database}_owner"
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
        if shop.target.username != "postgres":
            prepare_target(conn, login=shop.target.username, password=ADMIN_PASSWORD, databases=[name])
    return name


def applied(shop: Shop) -> GrantOrder:
    # A capability role that a superuser made is not the minimal admin's to grant, so they use different ones.
    grants = "SELECT,TRUNCATE,REFERENCES" if shop.target.username == "postgres" else "SELECT"
    order = new_order(permissions(grants, "app", "customers"))
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def run_as_dba(shop: Shop, todo: str) -> None:
    """Run what a refusal tells a DBA to run."""
    with shop.as_dba() as conn:
        conn.execute(sql_in(todo))  # type: ignore[call-overload]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_go_to_the_owner_that_an_admin_chose(new_shop: Callable[..., Shop], version: int) -> None:
    shop = new_shop(version)
    owner = f'{shop.database} "keeper"'
    shop = replace(shop, target=replace(shop.target, leftover_owner=owner))
    order = applied(shop)
    with shop.as_dba() as conn:
        application = sql.Identifier(f"{shop.database}_owner")
        conn.execute(sql.SQL("CREATE SCHEMA play AUTHORIZATION {}").format(application))
        conn.execute(sql.SQL("GRANT CREATE ON SCHEMA play TO {}").format(sql.Identifier(order.login.role_name)))
    with shop.log_in(order) as user:
        user.execute(
            "CREATE TABLE play.mine (id int); CREATE FUNCTION play.one() RETURNS int LANGUAGE sql AS $$SELECT 1$$"
        )

    with pytest.raises(TargetRefused, match="does not exist") as missing:
        end_grant(shop.target, to_end(order))
    run_as_dba(shop, missing.value.todo)
    with pytest.raises(TargetRefused) as no_right:  # the new owner may not create in the schema yet
        end_grant(shop.target, to_end(order))
    assert no_right.value.sqlstate == "42501"
    run_as_dba(shop, no_right.value.todo)

    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)
    with shop.as_dba() as conn:
        rows = conn.execute("SELECT tableowner::text FROM pg_tables WHERE tablename = 'mine'").fetchall()
    assert rows == [(owner,)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_superuser", [False, True])
def test_kept_objects_are_listed_and_the_ending_waits(
    new_shop: Callable[..., Shop], version: int, is_superuser: bool
) -> None:
    shop = new_shop(version, is_superuser=is_superuser)
    shop = replace(shop, target=replace(shop.target, leftovers="keep"))
    open_playground(shop)
    other = second_database(shop)
    order = applied(shop)
    user = shop.log_in(order)
    user.execute('CREATE TABLE play."My Table" (id serial)')
    user.execute("CREATE TEMP TABLE passing (id int)")
    user.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    with shop.server.connect(other, order.login.role_name, order.password) as elsewhere:
        number = elsewhere.execute("SELECT lo_create(0)").fetchall()[0][0]

    for _ in range(2):
        with pytest.raises(TargetRefused) as refusal:
            end_grant(shop.target, to_end(order))
        assert f'{shop.database}: table play."My Table"' in refusal.value.why
        assert f"{other}: large object {number}" in refusal.value.why
        assert "passing" not in refusal.value.why
        assert "default acl" not in refusal.value.why
    with pytest.raises(psycopg.OperationalError):  # fenced and cut all the same
        user.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(order)

    with shop.as_dba() as conn:
        conn.execute('DROP TABLE play."My Table"')
    with shop.as_dba(other) as conn:
        conn.execute("SELECT lo_unlink(%s)", [number])
    assert end_grant(shop.target, to_end(order)).reassigned == ()
    assert shop.roles(order) == 0


def test_kept_objects_are_handed_over_when_the_setting_changes(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    open_playground(shop)
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute("CREATE TABLE play.mine (id int)")
    with pytest.raises(TargetRefused, match="owns 1 object on"):
        end_grant(replace(shop.target, leftovers="keep"), to_end(order))
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)


def test_what_it_owns_and_what_it_was_given_on_the_database(new_shop: Callable[..., Shop]) -> None:
    """A privilege on a shared object is looked at first, and must not stop what is handed over here."""
    shop = new_shop(14)
    order = new_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    names = {"role": sql.Identifier(order.login.role_name), "database": sql.Identifier(shop.database)}
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("GRANT CONNECT ON DATABASE {database} TO {role}").format(**names))
    with shop.log_in(order) as user:
        user.execute("CREATE TABLE public.mine (id int)")
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)


@pytest.mark.parametrize("leftovers", ["reassign", "keep"])
def test_default_privileges_alone_hold_nothing_up(new_shop: Callable[..., Shop], leftovers: str) -> None:
    shop = new_shop()
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    end_grant(replace(shop.target, leftovers=leftovers), to_end(order))
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_what_another_grantor_gave_is_taken_back(new_shop: Callable[..., Shop], version: int) -> None:
    """DROP OWNED leaves what others than the owner gave, and reports success."""
    shop = new_shop(version, is_superuser=True)
    order = applied(shop)
    lender = sql.Identifier(f"{shop.database}_lender")
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(lender))
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {} WITH GRANT OPTION").format(lender))
        conn.execute(sql.SQL("GRANT SELECT ON app.customers TO {} WITH GRANT OPTION").format(lender))
        conn.execute(sql.SQL("SET ROLE {}").format(lender))
        role = sql.Identifier(order.login.role_name)
        conn.execute(sql.SQL("GRANT SELECT ON app.customers TO {}").format(role))
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA app TO {}").format(role))
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("gift", ["USAGE ON SEQUENCE play.theirs_id_seq", "DELETE ON play.theirs"])
def test_what_a_stranger_gave_holds_up_nothing_else(new_shop: Callable[..., Shop], version: int, gift: str) -> None:
    """DROP OWNED fails as a whole over a table that the role may neither read nor write: then it goes without it."""
    shop = new_shop(version)
    open_playground(shop)
    order = applied(shop)
    stranger = f"{shop.database}_stranger"
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(stranger)))
        conn.execute("GRANT CREATE ON SCHEMA play TO PUBLIC")
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(stranger)))
        conn.execute("CREATE TABLE play.theirs (id serial)")
        conn.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(gift), sql.Identifier(order.login.role_name)))  # type: ignore[arg-type]
    with shop.log_in(order) as user:
        user.execute("CREATE TABLE play.mine (id int)")
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))
    assert (
        f'FROM "{order.login.role_name}"' in refusal.value.todo or f"FROM {order.login.role_name}" in refusal.value.todo
    )
    with shop.as_dba() as conn:
        query = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 'mine'"
        assert conn.execute(query).fetchone() == ("jit_quarantine",), "what it owned is handed over all the same"
        assert conn.execute(
            "SELECT count(*) FROM pg_shdepend WHERE refobjid = %s AND deptype = 'a'", [order.login.role_oid]
        ).fetchone() == (1,), "nothing but what the stranger gave is left"
    run_as_dba(shop, refusal.value.todo)
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_memberships_of_all_kinds_go_with_the_role(new_shop: Callable[..., Shop], version: int) -> None:
    shop = new_shop(version)
    order = applied(shop)
    names = {"role": order.login.role_name, "team": f"{shop.database}_team", "friend": f"{shop.database}_friend"}
    role, team, friend = (sql.Identifier(name) for name in names.values())
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(team))
        conn.execute(sql.SQL("CREATE ROLE {}").format(friend))
        conn.execute(sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(team, role))
        conn.execute(sql.SQL("GRANT {} TO {}").format(role, friend))
    with shop.log_in(order) as user:
        user.execute(sql.SQL("GRANT {} TO {}").format(team, friend))
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


@pytest.fixture(scope="module")
def preparing_shop(servers_directory: Path, certificate_authority: CertificateAuthority) -> Iterator[Shop]:
    """A shop on a server that knows prepared transactions."""
    server = PostgresServer(
        18,
        servers_directory / "preparing",
        tls=certificate_authority.server(),
        settings={"max_prepared_transactions": "5"},
        durable=False,
    ).start()
    shop = make_shop(server, certificate_authority, is_superuser=False)
    open_playground(shop)
    yield shop
    server.destroy()


@pytest.mark.parametrize("leftovers", ["reassign", "keep"])
def test_a_prepared_transaction_is_reported_with_what_ends_it(preparing_shop: Shop, leftovers: str) -> None:
    shop = preparing_shop
    target = replace(shop.target, leftovers=leftovers)
    order, bystander = applied(shop), applied(shop)
    with shop.log_in(order) as user:
        user.execute(f"BEGIN; CREATE TABLE play.later_{leftovers} (id int); PREPARE TRANSACTION 'it''s later'")
    refusal, ended = end_grants(target, [to_end(order), to_end(bystander)])
    assert isinstance(ended, EndReceipt)
    assert isinstance(refusal, TargetRefused)
    assert "transaction that it prepared" in refusal.what
    assert "ROLLBACK PREPARED 'it''s later';" in refusal.todo
    with shop.as_dba() as conn:
        conn.execute("COMMIT PREPARED 'it''s later'")
    if leftovers == "keep":
        with pytest.raises(TargetRefused, match="owns 1 object"):
            end_grant(target, to_end(order))
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)


def test_a_prepared_transaction_that_holds_the_role_itself_is_told(preparing_shop: Shop) -> None:
    order = applied(preparing_shop)
    with preparing_shop.log_in(order) as user:
        user.execute("BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'an-other-pass-word'")
        user.execute("PREPARE TRANSACTION 'holds_the_role'")
    with pytest.raises(TargetError) as refusal:
        end_grant(preparing_shop.target, to_end(order))
    assert "ROLLBACK PREPARED 'holds_the_role'" in refusal.value.todo
    run_as_dba(preparing_shop, "A superuser runs: ROLLBACK PREPARED 'holds_the_role';")
    end_grant(preparing_shop.target, to_end(order))
    assert preparing_shop.roles(order) == 0


def test_an_attribute_that_only_a_superuser_takes_is_told(new_shop: Callable[..., Shop]) -> None:
    """Up to 15 nobody else changes anything of a role that replicates."""
    shop = new_shop(14)
    order = applied(shop)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("ALTER ROLE {} REPLICATION").format(sql.Identifier(order.login.role_name)))
    with pytest.raises(TargetError) as refusal:
        end_grant(shop.target, to_end(order))
    assert "NOREPLICATION" in refusal.value.todo
    assert "NOSUPERUSER" not in refusal.value.todo, "only what the role has"
    run_as_dba(shop, refusal.value.todo)
    end_grant(shop.target, to_end(order))
    assert shop.roles(order) == 0


def test_a_prepared_transaction_that_holds_nothing_is_a_note(preparing_shop: Shop) -> None:
    shop = preparing_shop
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute("BEGIN; SELECT * FROM app.customers; PREPARE TRANSACTION 'reading'")
    receipt = end_grant(shop.target, to_end(order))
    with shop.as_dba() as conn:
        conn.execute("ROLLBACK PREPARED 'reading'")
    assert "ROLLBACK PREPARED 'reading'" in receipt.notes[0]


def test_many_end_together_and_one_that_is_refused_holds_up_none(new_shop: Callable[..., Shop]) -> None:
    """Sessions, leftovers, a role that is gone, one that is a stranger's: each gets what it would get alone."""
    shop = new_shop()
    open_playground(shop)
    target = replace(shop.target, leftovers="keep")
    orders = [applied(shop) for _ in range(30)]
    sessions = [shop.log_in(order) for order in orders[:15]]
    sessions[0].execute("CREATE TABLE play.mine (id int)")
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(orders[1].login.role_name)))
        stranger = sql.Identifier(orders[2].login.role_name)
        conn.execute(sql.SQL("DROP ROLE {0}; CREATE ROLE {0}; COMMENT ON ROLE {0} IS 'mine now'").format(stranger))
    for _ in range(2):
        outcomes = end_grants(target, [to_end(order) for order in orders])
        kept, dropped, foreign, *ended = outcomes
        assert isinstance(kept, TargetRefused)
        assert "play.mine" in kept.why
        assert isinstance(dropped, EndReceipt)
        assert dropped.role_was_absent
        assert isinstance(foreign, TargetRefused)
        assert "not this grant" in foreign.what
        assert all(isinstance(outcome, EndReceipt) for outcome in ended)
    for session in sessions:
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert [shop.roles(order) for order in orders[:4]] == [1, 0, 1, 0]


def test_a_batch_of_nothing(shop: Shop) -> None:
    assert end_grants(shop.target, []) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_superuser", [False, True], ids=["set-up role", "superuser"])
def test_what_was_left_does_not_run_with_the_new_owners_rights(
    new_shop: Callable[..., Shop], version: int, is_superuser: bool
) -> None:
    shop = new_shop(version, is_superuser=is_superuser)
    open_playground(shop)
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute("CREATE TABLE play.mine (id int)")
        user.execute("CREATE VIEW play.window AS SELECT current_user AS me, * FROM play.mine")
        user.execute("GRANT SELECT ON play.window, play.mine TO PUBLIC")
        user.execute(
            "CREATE FUNCTION play.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
            " $$SELECT count(*) FROM play.mine$$"
        )
        user.execute("CREATE PROCEDURE play.act(a int, OUT b text) LANGUAGE sql SECURITY DEFINER AS $$SELECT 'x'$$")
    end_grant(shop.target, to_end(order))
    outsider = f"outsider_{secrets.token_hex(4)}"
    with shop.as_dba() as conn:
        definers = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'play'::regnamespace AND prosecdef"
        assert conn.execute(definers).fetchone() == (0,)
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(outsider)))
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(outsider)))
        for statement in ("SELECT play.peek()", "SELECT * FROM play.window", "SELECT * FROM play.mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)  # type: ignore[call-overload]


def test_a_superuser_takes_over_nothing(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(is_superuser=True)
    shop = replace(shop, target=replace(shop.target, leftover_owner="postgres"))
    open_playground(shop)
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute("CREATE TABLE play.mine (id int)")
    [note] = end_grant(shop.target, to_end(order)).notes
    assert "went to jit_quarantine and not to postgres, which is a superuser" in note
