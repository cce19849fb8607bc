"""A login holds nothing but one membership, whatever its number; what that membership lets it do on each version."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from accessmgmt.provisioning.privileges import catalog_cache
from accessmgmt.provisioning.session import conversation
from devstack.recipe import prepare_database, prepare_target
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_installation, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")


@pytest.fixture(params=[18, 16, 15, 14])
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    """A shop of the test's own, on each version that has rules of its own."""
    return new_shop(request.param)


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The descriptions of the statements that were sent."""
    found: list[str] = []
    conversation.before_statement = found.append
    yield found
    conversation.before_statement = None


def applied(shop: Shop, order: GrantOrder | None = None) -> GrantOrder:
    """Apply an order on ORDERS, and return it with its role's OID."""
    order = order or new_order(ORDERS)
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def test_the_access_lists_of_tables_do_not_grow_with_people(shop: Shop) -> None:
    """At 2,437 grantees on one table every GRANT fails. Tables' rows are not even written again."""
    rows = "SELECT c.oid, c.relacl::text, c.xmin::text FROM pg_class c WHERE c.relnamespace = 'app'::regnamespace"
    first = applied(shop)
    with shop.as_dba() as dba:
        before = dba.execute(rows).fetchall()
        others = [applied(shop) for _ in range(5)]
        oids = [order.login.role_oid for order in (first, *others)]
        held = "SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (%s)"
        assert dba.execute(held, [oids]).fetchone() == (0,), "a login holds and owns nothing"
        end_grants(shop.target, [to_end(order) for order in (first, *others)])
        assert dba.execute(rows).fetchall() == before


def test_what_is_in_order_is_compared_and_not_granted_again(
    shop: Shop, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GRANT that changes nothing rewrites every row all the same."""
    end_grant(shop.target, to_end(applied(shop, new_order(permissions("SELECT,INSERT", "app", "*")))))
    monkeypatch.setattr(catalog_cache, "RECALL_SECONDS", 0.0)
    sent.clear()
    order = applied(shop, new_order(permissions("SELECT,INSERT", "app", "*")))
    assert "read the capability role's drift" in sent
    assert [text for text in sent if text.startswith(("grant", "revoke"))] == ["grant the capability role"]
    assert "take the portal's lock of this database" not in sent
    end_grant(shop.target, to_end(order))


def test_one_grant_for_many_tables(new_shop: Callable[..., Shop], sent: list[str]) -> None:
    """One statement with a list is ten times as fast as a statement for each table."""
    shop = new_shop(18, tables="CREATE SCHEMA app")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for number in range(150):
            dba.execute(sql.SQL("CREATE TABLE app.{} (id int)").format(sql.Identifier(f"t{number}")))
    order = applied(shop, new_order(permissions("SELECT", "app", "t*")))
    assert sent.count("grant on the chunk's tables") == 2, "once rehearsed, once done"
    end_grant(shop.target, to_end(order))


def test_stepping_into_the_capability_role(shop: Shop) -> None:
    """Up to 15 a login can, and keeps what it may until its session is cut. From 16 on it cannot."""
    order = applied(shop)
    capability = sql.Identifier(order.set.capability)
    user = shop.log_in(order)
    if shop.server.version >= 16:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute(sql.SQL("SET ROLE {}").format(capability))
    else:
        user.execute(sql.SQL("SET ROLE {}").format(capability))
        with shop.as_dba() as dba:
            dba.execute(sql.SQL("REVOKE {} FROM {}").format(capability, sql.Identifier(order.login.role_name)))
        assert user.execute("SELECT item FROM app.orders LIMIT 1").fetchall() == [("tea",)], "the trap is there"
    user.execute("BEGIN; DECLARE rows CURSOR FOR SELECT generate_series(1, 1000); FETCH 1 FROM rows")

    assert len(end_grant(shop.target, to_end(order)).sessions) == 1

    with pytest.raises(psycopg.OperationalError):
        user.execute("FETCH 1 FROM rows")


def test_the_admin_role_gives_itself_nothing(shop: Shop) -> None:
    """A self-grant with INHERIT makes every CREATE ROLE slower; only ADMIN comes with the creation."""
    order = applied(shop)
    own = """
        SELECT to_jsonb(m) - ARRAY['oid', 'roleid', 'member', 'grantor'] FROM pg_auth_members m
        WHERE m.member = 'jit_portal'::regrole AND m.roleid = ANY (ARRAY[%s::regrole, %s::regrole])
    """
    names = [order.login.role_name, order.set.capability]
    only_admin = ({"admin_option": True, "inherit_option": False, "set_option": False},)
    with shop.as_dba() as dba:
        assert dba.execute(own, names).fetchall() == ([only_admin] * 2 if shop.server.version >= 16 else [])
    end_grant(shop.target, to_end(order))


def second_login(shop: Shop) -> Shop:
    """Give the portal another credential on the same server: jit_login_b beside jit_login_a."""
    login = f"jit_login_{secrets.token_hex(3)}"
    with shop.as_dba() as dba:
        prepare_target(dba, login=login, password=ADMIN_PASSWORD, databases=[shop.database])
    return replace(shop, target=replace(shop.target, username=login))


def test_a_rotated_credential_goes_on_where_the_old_one_stopped(shop: Shop) -> None:
    """Owner and grantor of everything is jit_portal, whatever login steps into it."""
    old, half = applied(shop), new_order(ORDERS)
    conversation.before_statement = stop_at("log in as the login role")
    try:
        with pytest.raises(KeyboardInterrupt):
            apply_grant(shop.target, half)
    finally:
        conversation.before_statement = None
    rotated = second_login(shop)
    with shop.as_dba() as dba:
        name = sql.Identifier(shop.target.username)
        revoke = sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(sql.Identifier(shop.database), name)
        dba.execute(revoke)
        dba.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [shop.target.username])
        dba.execute(sql.SQL("DROP ROLE {}").format(name))

    half = applied(rotated, half)
    rotated.log_in(half).close()
    for order in (old, half):
        assert not end_grant(rotated.target, to_end(order)).role_was_absent
        assert rotated.roles(order) == 0


def stop_at(wanted: str) -> Callable[[str], None]:
    """Return a hook that stops the work, as Ctrl-C does, before a statement."""

    def stop(description: str) -> None:
        if description == wanted:
            raise KeyboardInterrupt

    return stop


def test_a_membership_that_another_admin_gave_is_taken_from_a_live_session(shop: Shop) -> None:
    """On 16+ a superuser's plain REVOKE of it says "REVOKE ROLE", and the member stays a member."""
    order = applied(shop)
    superuser = replace(shop.target, username="postgres", password=shop.server.password)
    user = shop.log_in(order)
    query = "SELECT count(*) FROM pg_auth_members WHERE member = %s"
    left: list[int] = []

    def look(description: str) -> None:
        if description == "drop the login role":
            with shop.as_dba() as dba:
                left.append(dba.execute(query, [order.login.role_oid]).fetchall()[0][0])

    conversation.before_statement = look
    try:
        end_grant(superuser, to_end(order))
    finally:
        conversation.before_statement = None
    assert left == [0]
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT * FROM app.orders")


def test_a_member_that_comes_after_a_set_was_emptied_keeps_it(shop: Shop) -> None:
    """DROP ROLE takes memberships along without a word, so the last look is behind the role's lock."""
    first = of_installation(new_order(ORDERS), new_installation())
    second = of_installation(new_order(ORDERS), first.login.installation)
    end_grant(shop.target, to_end(applied(shop, first)))
    emptied = False

    def activate(description: str) -> None:
        nonlocal emptied
        if description == "tag the role" and not emptied:
            emptied = True
            apply_grant(shop.target, second)

    conversation.before_statement = activate
    try:
        report = retire_capabilities(shop.target, first.login.installation, set())
    finally:
        conversation.before_statement = None
    assert emptied
    assert (report.dropped, set(report.kept.values())) == ((), {"It is used again."})
    with shop.log_in(second) as user:
        user.execute("SELECT * FROM app.orders")
    end_grant(shop.target, to_end(second))


@pytest.mark.parametrize("version", [16])
def test_a_new_set_in_two_databases_of_one_server_at_once(new_shop: Callable[..., Shop], version: int) -> None:
    """The capability role is one for both, and advisory locks are each database's own."""
    shop = new_shop(version)
    other = f"twin_{secrets.token_hex(4)}"
    owner = sql.Identifier(f"{shop.database}_owner")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(other), owner))
        prepare_target(dba, login=shop.target.username, password=ADMIN_PASSWORD, databases=[other])
    with shop.server.connect(other) as dba:
        prepare_database(dba)
        dba.execute(sql.SQL("SET ROLE {}").format(owner))
        dba.execute("CREATE SCHEMA app; CREATE TABLE app.orders (id int)")
    targets = [shop.target, replace(shop.target, database_name=other)] * 8
    alone = new_installation()
    orders = [of_installation(new_order(permissions("ALL", "app", "*")), alone) for _ in targets]
    with ThreadPoolExecutor(8) as workers:
        receipts = list(workers.map(partial(apply_grant, budget_seconds=60), targets, orders))
    assert {receipt.table_count for receipt in receipts} == {10, 1}
    for order in orders:
        order = as_made(order, role_oid=None)
        end_grant(shop.target, to_end(order))
        assert shop.roles(order) == 0
