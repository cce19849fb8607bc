"""Capability roles that nothing needs are dropped, in every database, with the application at work beside it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from psycopg import sql

from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import RetireReport, retire_capabilities
from accessmgmt.provisioning.session import conversation
from devstack.recipe import prepare_database, prepare_target
from tests.orders import of_installation, to_end
from tests.provisioning.beside import Beside, before_the_commit
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_installation, new_order, permissions

SERVERS = [(18, False), (18, True), (16, False), (14, False)]


@pytest.fixture(params=SERVERS, ids=lambda p: f"{p[0]}-{'superuser' if p[1] else 'recipe'}")
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    version, is_superuser = request.param
    return new_shop(version, is_superuser=is_superuser)


@pytest.fixture
def installation() -> Installation:
    return new_installation()


def an_order(installation: Installation, wanted: PermissionSet) -> GrantOrder:
    return of_installation(new_order(wanted), installation)


def roles_of(shop: Shop, installation: Installation) -> set[str]:
    with shop.as_dba() as conn:
        rows = conn.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(shobj_description(oid, 'pg_authid'), %s)",
            [f"access-portal:{installation.id}:set:"],
        ).fetchall()
    return {name for (name,) in rows}


def test_what_is_unused_is_dropped_in_every_database(shop: Shop, installation: Installation) -> None:
    second = f"second_{secrets.token_hex(4)}"
    owner = sql.Identifier(f"{shop.database}_owner")
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(second), owner))
        if shop.target.username != "postgres":
            prepare_target(conn, login=shop.target.username, password=ADMIN_PASSWORD, databases=[second])
    with shop.server.connect(second) as conn:
        prepare_database(conn)
        conn.execute(sql.SQL("SET ROLE {}").format(owner))
        conn.execute("CREATE SCHEMA app; CREATE TABLE app.orders (id serial)")
    unused, kept = permissions("SELECT,INSERT", "app", "*"), permissions("SELECT", "app", "orders")
    used = permissions("UPDATE", "app", "orders")
    for target in (shop.target, replace(shop.target, database_name=second)):
        order = an_order(installation, unused)
        apply_grant(target, order)
        end_grant(target, to_end(order))
    order, live = an_order(installation, kept), an_order(installation, used)
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    apply_grant(shop.target, live)

    report = retire_capabilities(shop.target, installation, {kept.digest})

    assert report.kept == {}
    assert report.dropped == (unused.capability_role_name(installation.id),)
    left = {wanted.capability_role_name(installation.id) for wanted in (kept, used)}
    assert roles_of(shop, installation) == left, "one has a member, one is to be kept"
    assert retire_capabilities(shop.target, installation, {kept.digest}).dropped == ()
    again = an_order(installation, unused)
    assert apply_grant(shop.target, again).table_count == 10
    end_grant(shop.target, to_end(again))
    end_grant(shop.target, to_end(live))


def test_a_role_with_policies_is_kept(shop: Shop, installation: Installation) -> None:
    """DROP OWNED drops policies whose only role it is."""
    wanted = permissions("SELECT", "app", "orders")
    order = an_order(installation, wanted)
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    name = wanted.capability_role_name(installation.id)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE POLICY mine ON app.orders TO {} USING (true)").format(sql.Identifier(name)))
    report = retire_capabilities(shop.target, installation, set())
    assert report.dropped == ()
    assert "mine on app.orders" in report.kept[name]
    again = an_order(installation, wanted)
    assert apply_grant(shop.target, again).table_count == 1
    with shop.as_dba() as conn:
        assert conn.execute("SELECT count(*) FROM pg_policy WHERE polname = 'mine'").fetchall() == [(1,)]
    end_grant(shop.target, to_end(again))


@pytest.mark.parametrize("version", [15, 14])
def test_what_it_owns_is_never_dropped(new_shop: Callable[..., Shop], installation: Installation, version: int) -> None:
    """Up to 15 a person may step into it and make something: that is kept, or handed over, as the resource says."""
    shop = new_shop(version)
    order = an_order(installation, permissions("SELECT", "app", "orders"))
    name = order.set.permissions.capability_role_name(installation.id)
    apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT ALL ON SCHEMA play TO PUBLIC")
    with shop.log_in(order) as user:
        user.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))
        user.execute("CREATE TABLE play.mine AS SELECT 42 AS answer")
    end_grant(replace(shop.target, leftovers="keep"), to_end(order))
    keeping = retire_capabilities(replace(shop.target, leftovers="keep"), installation, set())
    assert keeping.dropped == ()
    assert "table play.mine" in keeping.kept[name]
    report = retire_capabilities(shop.target, installation, set())
    assert (report.dropped, report.reassigned) == ((name,), {name: [shop.database]}), report.kept
    with shop.as_dba() as dba:
        rows = dba.execute(
            "SELECT tableowner::text, (SELECT answer FROM play.mine) FROM pg_tables WHERE tablename = 'mine'"
        )
        assert rows.fetchall() == [("jit_quarantine", 42)]


def test_a_member_that_comes_meanwhile_stops_it(new_shop: Callable[..., Shop], installation: Installation) -> None:
    shop = new_shop()
    wanted = permissions("SELECT", "app", "*")
    first, second = an_order(installation, wanted), an_order(installation, wanted)
    apply_grant(shop.target, first)
    end_grant(shop.target, to_end(first))
    is_done = False

    def activate(description: str) -> None:
        nonlocal is_done
        if description == "check that nobody is a member" and not is_done:
            is_done = True
            apply_grant(shop.target, second)

    conversation.before_statement = activate
    try:
        report = retire_capabilities(shop.target, installation, set())
    finally:
        conversation.before_statement = None
    assert is_done
    assert (report.dropped, set(report.kept.values())) == ((), {"It is used again."})
    with shop.log_in(second) as user:
        user.execute("SELECT * FROM app.orders")
    end_grant(shop.target, to_end(second))


def works(shop: Shop, order: GrantOrder) -> bool:
    """Say whether the login may what it should, and is a member of one role that is there."""
    with shop.log_in(order) as user:
        user.execute("SELECT * FROM app.orders")
        roles = "SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE member = current_user::regrole"
        return user.execute(roles).fetchall() == [(order.set.capability,)]


@pytest.mark.parametrize("version", [18, 16, 15, 14])
def test_it_is_retired_while_somebody_becomes_a_member(
    new_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, installation: Installation, version: int
) -> None:
    shop = new_shop(version)
    first, second = (an_order(installation, permissions("SELECT", "app", "orders")) for _ in range(2))
    apply_grant(shop.target, first)
    end_grant(shop.target, to_end(first))
    retiring = Beside(shop, lambda: retire_capabilities(shop.target, installation, set()))
    before_the_commit(monkeypatch, "grant the capability role", retiring.begin)
    apply_grant(shop.target, second)
    report = retiring.end()
    assert isinstance(report, RetireReport)
    assert list(report.kept.values()) == ["It is used again."]
    assert works(shop, second)
    end_grant(shop.target, to_end(second))


@pytest.mark.parametrize("version", [18, 16, 15, 14])
def test_somebody_becomes_a_member_while_it_is_retired(
    new_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, installation: Installation, version: int
) -> None:
    shop = new_shop(version)
    first, second = (an_order(installation, permissions("SELECT", "app", "orders")) for _ in range(2))
    apply_grant(shop.target, first)
    end_grant(shop.target, to_end(first))
    applying = Beside(shop, lambda: apply_grant(shop.target, second))
    before_the_commit(monkeypatch, "drop the login role", applying.begin)
    report = retire_capabilities(shop.target, installation, set())
    applying.end()
    assert len(report.dropped) == 1
    assert works(shop, second)
    end_grant(shop.target, to_end(second))


@pytest.mark.parametrize("version", [18, 16, 15, 14])
def test_it_is_dropped_when_somebody_is_about_to_become_a_member(
    new_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, installation: Installation, version: int
) -> None:
    """The grant found it complete, and is sent while it is being dropped: GRANT alone would leave a dangling row."""
    shop = new_shop(version)
    first, second = (an_order(installation, permissions("SELECT", "app", "orders")) for _ in range(2))
    apply_grant(shop.target, first)
    end_grant(shop.target, to_end(first))
    has_looked, may_go_on = threading.Event(), threading.Event()

    def hold_up(description: str) -> None:
        if description == "create the login role" and not has_looked.is_set():
            has_looked.set()
            may_go_on.wait(60)

    conversation.before_statement = hold_up
    try:
        with ThreadPoolExecutor(1) as pool:
            applying = pool.submit(apply_grant, shop.target, second)
            assert has_looked.wait(60)
            goes_on = Beside(shop, lambda: (may_go_on.set(), applying.result()))
            before_the_commit(monkeypatch, "drop the login role", goes_on.begin)
            report = retire_capabilities(shop.target, installation, set())
            applying.result()
    finally:
        conversation.before_statement = None
    assert len(report.dropped) == 1
    assert works(shop, second)
    end_grant(shop.target, to_end(second))


def test_roles_of_another_installation_stay(new_shop: Callable[..., Shop], installation: Installation) -> None:
    shop = new_shop()
    order = an_order(installation, permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    assert retire_capabilities(shop.target, replace(installation, id=installation.id[:-1]), set()).dropped == ()
    assert len(roles_of(shop, installation)) == 1


@pytest.mark.parametrize("version", [14, 18])
def test_what_was_given_by_a_grant_option_before_the_owner_was_granted_is_taken_back(
    new_shop: Callable[..., Shop], version: int
) -> None:
    """The advice of the connection test leads there: first CONNECT with grant option, then the owners of tables."""
    shop = new_shop(version)
    owner, database = sql.Identifier(f"{shop.database}_owner"), sql.Identifier(shop.database)
    with shop.as_dba() as dba:
        dba.execute(
            sql.SQL("REVOKE {} FROM jit_portal; REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(owner, database)
        )
        dba.execute(
            sql.SQL(
                "SET ROLE {}; GRANT CONNECT ON DATABASE {} TO jit_portal WITH GRANT OPTION;"
                " GRANT USAGE ON SCHEMA app TO jit_portal WITH GRANT OPTION;"
                " GRANT ALL ON app.orders TO jit_portal WITH GRANT OPTION"
            ).format(owner, database)
        )
    order = of_installation(new_order(permissions("SELECT", "app", "orders")), new_installation())
    receipt = apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("GRANT {} TO jit_portal").format(owner))
    end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
    report = retire_capabilities(shop.target, order.login.installation, keep=())
    assert (report.dropped, report.kept) == ((order.set.capability,), {})
