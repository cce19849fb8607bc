"""What a person hung on tables of others is gone with the grant, or told: it would run as whoever uses the table."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.statements import advice
from tests.orders import as_made, to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import Shop, new_order, permissions
from tests.provisioning.dba import do_as_told

VERSIONS = [18, 16, 14]
FUNCTIONS = """
CREATE FUNCTION play.deed() RETURNS void LANGUAGE plpgsql AS
  $$BEGIN EXECUTE 'GRANT SELECT ON secret.salaries TO PUBLIC'; EXCEPTION WHEN OTHERS THEN NULL; END$$;
CREATE FUNCTION play.tg() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM play.deed(); RETURN coalesce(new, old); END$$;
CREATE FUNCTION play.when_so(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM play.deed(); RETURN true; END$$;
CREATE OPERATOR play.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
"""
HOOKS = {
    "after insert": "CREATE TRIGGER x AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION play.tg()",
    "before truncate": "CREATE TRIGGER x BEFORE TRUNCATE ON app.orders EXECUTE FUNCTION play.tg()",
    "partitioned": "CREATE TRIGGER x AFTER INSERT ON app.measures FOR EACH ROW EXECUTE FUNCTION play.tg()",
    "on a view": "CREATE TRIGGER x INSTEAD OF INSERT ON app.recent FOR EACH ROW EXECUTE FUNCTION play.tg()",
    "deferred": "CREATE CONSTRAINT TRIGGER x AFTER UPDATE ON app.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    " EXECUTE FUNCTION play.tg()",
    "in the condition": "CREATE TRIGGER x BEFORE UPDATE ON app.orders FOR EACH ROW WHEN (play.when_so(new.id))"
    " EXECUTE FUNCTION app.touch()",
    "built in": "CREATE TRIGGER x BEFORE INSERT ON app.customers FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "foreign key": "CREATE TABLE play.ref (id int REFERENCES app.orders);"
    " INSERT INTO play.ref SELECT id FROM app.orders",
    "cascading key": "CREATE TABLE play.ref (id int REFERENCES app.orders ON DELETE CASCADE);"
    " INSERT INTO play.ref SELECT id FROM app.orders;"
    " CREATE TRIGGER x AFTER DELETE ON play.ref FOR EACH ROW EXECUTE FUNCTION play.tg()",
}
APPLICATION = (
    "INSERT INTO app.orders (item) VALUES ('milk')",
    "UPDATE app.orders SET item = 'rice'",
    "INSERT INTO app.customers (name) VALUES ('Ann')",
    "INSERT INTO app.measures VALUES (1, '2024-05-05')",
    "INSERT INTO app.recent (item) VALUES ('seen')",
    "DELETE FROM app.orders",
    "TRUNCATE app.orders",
    "SET CONSTRAINTS ALL IMMEDIATE",
)
TRIGGERS = "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 ORDER BY 1"


def open_shop(new_shop: Callable[..., Shop], version: int, **changes: bool) -> Shop:
    shop = new_shop(version, **changes)
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute(
            "CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
            "CREATE TRIGGER touched BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.touch()"
        )
    return shop


def applied(shop: Shop, grants: str = "SELECT,TRIGGER,REFERENCES") -> GrantOrder:
    # A capability role that a superuser made is not the minimal admin's to grant, so they use different ones.
    grants += ",TRUNCATE" if shop.target.username == "postgres" else ""
    order = new_order(permissions(grants))
    receipt = apply_grant(shop.target, order)
    return as_made(order, role_oid=receipt.role_oid, triggers_before=receipt.triggers_before)


def made(shop: Shop, text: str) -> GrantOrder:
    """Let a login of its own make something, and log out."""
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute(text)  # type: ignore[call-overload]
    return order


def triggers(shop: Shop) -> list[str]:
    with shop.as_dba() as dba:
        return [name for (name,) in dba.execute(TRIGGERS).fetchall()]


def check_application(shop: Shop) -> None:
    """The application works as before, and nobody's deed is done."""
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute("BEGIN")
        for statement in APPLICATION:
            assert dba.execute(statement).rowcount != 0  # type: ignore[call-overload]
        dba.execute("COMMIT")
        query = "SELECT has_table_privilege('public', 'secret.salaries', 'SELECT')"
        assert dba.execute(query).fetchone() == (False,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("hook", HOOKS)
def test_what_was_hung_on_the_applications_tables_is_gone(
    new_shop: Callable[..., Shop], version: int, hook: str
) -> None:
    shop = open_shop(new_shop, version)
    order = made(shop, FUNCTIONS + HOOKS[hook])

    receipt = end_grant(shop.target, to_end(order))

    words = [note for note in receipt.notes if "the login had put this on app." in note or "on play.ref" in note]
    assert len(words) == 1, receipt.notes
    assert "It was dropped." in words[0]
    assert not any("nobody can tell who made them" in note for note in receipt.notes)
    assert "x" not in triggers(shop) or hook == "cascading key"
    check_application(shop)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_gone_with_a_superusers_credential_too(new_shop: Callable[..., Shop], version: int) -> None:
    shop = open_shop(new_shop, version, is_superuser=True)
    end_grant(shop.target, to_end(made(shop, FUNCTIONS + HOOKS["after insert"] + ";" + HOOKS["foreign key"])))
    assert triggers(shop) == ["touched"]
    check_application(shop)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_default_of_the_application_that_calls_a_leftover_is_undone(
    new_shop: Callable[..., Shop], version: int
) -> None:
    """Whoever was a member of the owner could make it; it would run as whoever inserts."""
    shop = open_shop(new_shop, version)
    order = made(shop, FUNCTIONS + "CREATE FUNCTION play.d() RETURNS text LANGUAGE sql AS 'SELECT play.deed()::text';")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("GRANT USAGE ON SCHEMA play TO {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute(
            "ALTER TABLE app.orders ALTER item SET DEFAULT play.d(), ADD CHECK (play.when_so(id));"
            "CREATE RULE r AS ON INSERT TO app.customers DO ALSO SELECT play.deed();"
            "CREATE INDEX shady ON app.orders (play.when_so(id));"
            "CREATE POLICY p ON app.orders USING (play.when_so(id));"
            "REVOKE SELECT ON secret.salaries FROM PUBLIC"
        )
    assert len(end_grant(shop.target, to_end(order)).notes) == 5
    check_application(shop)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_trigger_on_a_table_that_is_read_for_long_is_switched_off(
    new_shop: Callable[..., Shop], version: int
) -> None:
    """DROP TRIGGER would wait for every reader; to switch it off waits for none."""
    shop = open_shop(new_shop, version)
    order = made(shop, FUNCTIONS + HOOKS["after insert"])
    with shop.as_dba() as reader:
        reader.execute("BEGIN; SELECT * FROM app.orders")
        receipt = end_grant(shop.target, to_end(order))
        reader.execute("ROLLBACK")
    assert any("switched off" in note for note in receipt.notes)
    check_application(shop)


@proves(advice.drop_hook)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_portal_may_not_undo_keeps_the_grant_ending(new_shop: Callable[..., Shop], version: int) -> None:
    """It is no member of the table's owner: the owner does it, as told, and the ending goes on."""
    shop = open_shop(new_shop, version)
    order = made(shop, FUNCTIONS + HOOKS["after insert"])
    owner = sql.Identifier(f"{shop.database}_owner")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("REVOKE {} FROM jit_portal").format(owner))
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))
    assert "CREATE TRIGGER x" in refusal.value.why
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(order)
    do_as_told(shop, refusal.value.todo)
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)
    check_application(shop)


@pytest.mark.parametrize("version", VERSIONS)
def test_triggers_of_the_application_stay_and_those_that_came_meanwhile_are_told(
    new_shop: Callable[..., Shop], version: int
) -> None:
    """Nobody can tell who made one that calls the application's function: an admin decides."""
    shop = open_shop(new_shop, version)
    order = made(
        shop,
        "CREATE TRIGGER y BEFORE UPDATE ON app.customers FOR EACH ROW EXECUTE FUNCTION app.touch();"
        "CREATE TRIGGER z BEFORE UPDATE ON app.orders FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    )
    [note] = end_grant(shop.target, to_end(order)).notes
    assert "TRIGGER y" in note
    assert "TRIGGER z" in note
    assert "touched" not in note
    assert triggers(shop) == ["touched", "y", "z"]
    do_as_told(shop, note)
    assert triggers(shop) == ["touched"]
    assert end_grant(shop.target, to_end(applied(shop))).notes == ()


def test_a_set_without_trigger_looks_for_none(new_shop: Callable[..., Shop]) -> None:
    shop = open_shop(new_shop, 18)
    order = applied(shop, "SELECT")
    assert order.login.triggers_before is None
    with shop.as_dba() as dba:
        dba.execute("CREATE TRIGGER y BEFORE UPDATE ON app.customers FOR EACH ROW EXECUTE FUNCTION app.touch()")
    assert end_grant(shop.target, to_end(order)).notes == ()
