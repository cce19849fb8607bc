"""Leftovers never run as anybody: they are disarmed, and whoever takes them over has nothing to lose."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import RungState
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.statements import advice
from devstack.postgres import PostgresServer
from tests.orders import as_made, to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import Shop, new_order, permissions
from tests.provisioning.dba import do_as_told

VERSIONS = [18, 16, 14]
BACK_DOOR = """
CREATE FUNCTION play.deed() RETURNS void LANGUAGE plpgsql VOLATILE AS $$BEGIN
  EXECUTE 'GRANT SELECT ON secret.salaries TO PUBLIC'; EXCEPTION WHEN OTHERS THEN NULL; END$$;
CREATE FUNCTION play.hidden(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM play.deed(); RETURN $1; END$$;
CREATE FUNCTION play.same(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM play.deed(); RETURN $1 = $2; END$$;
CREATE OPERATOR play.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = play.same);
CREATE DOMAIN play.checked AS int CHECK (play.hidden(VALUE) IS NOT NULL);
CREATE TABLE play.mine (id int, other int);
INSERT INTO play.mine SELECT n, n % 7 FROM generate_series(1, 100) n;
CREATE INDEX plain ON play.mine (other);
"""
WAYS = {
    "index on a routine": "CREATE INDEX ON play.mine (play.hidden(id))",
    "predicate of an index": "CREATE INDEX ON play.mine (id) WHERE play.hidden(id) > 3",
    "operator in an index": "CREATE INDEX ON play.mine ((id OPERATOR(play.===) other))",
    "domain in an index": "CREATE INDEX ON play.mine ((id::play.checked))",
    "index of a partitioned table": "CREATE TABLE play.parted (id int) PARTITION BY RANGE (id);"
    " CREATE TABLE play.part PARTITION OF play.parted FOR VALUES FROM (0) TO (500);"
    " INSERT INTO play.parted SELECT generate_series(1, 100); CREATE INDEX ON play.parted (play.hidden(id))",
    "statistics": "CREATE STATISTICS play.numbers ON (play.hidden(id)), other FROM play.mine",
    "exclusion constraint": "ALTER TABLE play.mine ADD EXCLUDE USING btree (play.hidden(id) WITH =)",
}


def open_shop(new_shop: Callable[..., Shop], version: int, **changes: object) -> Shop:
    shop = new_shop(version, **changes)
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    return shop


def applied(shop: Shop) -> GrantOrder:
    # A capability role that a superuser made is not the minimal admin's to grant, so they use different ones.
    grants = "SELECT,TRUNCATE" if shop.target.username == "postgres" else "SELECT"
    order = new_order(permissions(grants, "app", "customers"))
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def made(shop: Shop, text: str) -> GrantOrder:
    """Let a login of its own make something, and log out."""
    order = applied(shop)
    with shop.log_in(order) as user:
        user.execute(text)  # type: ignore[call-overload]
    return order


def owner_of(shop: Shop, table: str = "play.mine") -> str:
    with shop.as_dba() as dba:
        return str(
            dba.execute("SELECT relowner::regrole::text FROM pg_class WHERE oid = %s::regclass", [table]).fetchall()[0][
                0
            ]
        )


def is_open(shop: Shop) -> bool:
    """Say whether the deed was done: everybody may read the salaries."""
    with shop.as_dba() as dba:
        query = "SELECT has_table_privilege('public', 'secret.salaries', 'SELECT')"
        return dba.execute(query).fetchone() == (True,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_superuser", [False, True], ids=["set-up role", "superuser"])
def test_the_tables_owner_takes_over_nothing(new_shop: Callable[..., Shop], version: int, is_superuser: bool) -> None:
    """What a person made would run as the owner of the tables at the next ANALYZE."""
    shop = open_shop(new_shop, version, is_superuser=is_superuser)
    owner = f"{shop.database}_owner"
    shop = replace(shop, target=replace(shop.target, leftover_owner=owner))
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("GRANT CREATE, USAGE ON SCHEMA play TO {}").format(sql.Identifier(owner)))
    order = made(shop, BACK_DOOR + WAYS["index on a routine"])

    receipt = end_grant(shop.target, to_end(order))

    [note] = receipt.notes
    assert "went to jit_quarantine" in note
    assert owner in note
    assert owner_of(shop) == "jit_quarantine"
    with shop.as_dba() as dba:
        dba.execute("ANALYZE")
    assert not is_open(shop)


POWERS = {
    "superuser": "ALTER ROLE {k} SUPERUSER",
    "createrole": "ALTER ROLE {k} CREATEROLE",
    "createdb": "ALTER ROLE {k} CREATEDB",
    "replication": "ALTER ROLE {k} REPLICATION",
    "bypassrls": "ALTER ROLE {k} BYPASSRLS",
    "login": "ALTER ROLE {k} LOGIN",
    "member of a predefined role": "GRANT pg_read_all_data TO {k}",
    "member of the owner": "GRANT {o} TO {k}",
    "privilege on a table": "GRANT SELECT ON secret.salaries TO {k}",
    "privilege on a column": "GRANT SELECT (amount) ON secret.salaries TO {k}",
    "privilege on a routine": "CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
    " GRANT EXECUTE ON FUNCTION app.f() TO {k}",
    "privileges on new tables": "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO {k}",
    "owner of a table": "CREATE TABLE app.k (id int); ALTER TABLE app.k OWNER TO {k}",
    "owner of a shared table": "CREATE TABLE app.k (id int); GRANT SELECT ON app.k TO {o};"
    " ALTER TABLE app.k OWNER TO {k}",
    "owner of a schema": "CREATE SCHEMA ks AUTHORIZATION {k}",
    "owner of a routine": "CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
    " ALTER FUNCTION app.f() OWNER TO {k}",
    "owner of the database": "ALTER DATABASE {d} OWNER TO {k}",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("power", POWERS)
def test_an_owner_with_something_to_lose_is_passed_over(
    new_shop: Callable[..., Shop], version: int, power: str
) -> None:
    shop = open_shop(new_shop, version, is_superuser=power in {"superuser", "owner of the database"})
    keeper = f"keeper_{secrets.token_hex(4)}"
    names = {"k": keeper, "o": f"{shop.database}_owner", "d": shop.database}
    identifiers = {key: sql.Identifier(name) for key, name in names.items()}
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE ROLE {k}; GRANT CREATE, USAGE ON SCHEMA play TO {k}").format(**identifiers))
        option = " WITH INHERIT TRUE, SET TRUE" if version >= 16 else ""
        dba.execute(sql.SQL("GRANT {k} TO jit_portal" + option).format(**identifiers))  # type: ignore[arg-type]
    shop = replace(shop, target=replace(shop.target, leftover_owner=keeper))
    harmless = made(
        shop,
        "CREATE TABLE play.first (id serial); CREATE VIEW play.v AS SELECT * FROM play.first;"
        " CREATE FUNCTION play.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; SELECT lo_create(0)",
    )
    assert end_grant(shop.target, to_end(harmless)).notes == ()
    assert owner_of(shop, "play.first") == keeper
    again = made(shop, "CREATE TABLE play.second (id int)")
    assert end_grant(shop.target, to_end(again)).notes == ()
    assert owner_of(shop, "play.second") == keeper, "leftovers of others are nothing to lose"

    with shop.as_dba() as dba:
        dba.execute(sql.SQL(POWERS[power]).format(**identifiers))  # type: ignore[arg-type]
    order = made(shop, "CREATE TABLE play.mine (id int)")
    [note] = end_grant(shop.target, to_end(order)).notes
    assert f"not to {keeper}, which" in note
    assert owner_of(shop) == "jit_quarantine"
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("DROP OWNED BY {k}; ALTER DATABASE {d} OWNER TO {o}").format(**identifiers))


@proves(advice.leave_roles)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "gift",
    [
        "ALTER ROLE jit_quarantine CREATEROLE",
        "GRANT {o} TO jit_quarantine",
        "GRANT SELECT ON app.orders TO jit_quarantine",
    ],
)
def test_a_quarantine_that_was_given_power_takes_over_nothing(
    own_server: Callable[..., object], shop_on: Callable[..., Shop], version: int, gift: str
) -> None:
    shop = shop_on(own_server(version))
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
        dba.execute(sql.SQL(gift).format(o=sql.Identifier(f"{shop.database}_owner")))  # type: ignore[arg-type]
    bystander, order = applied(shop), made(shop, "CREATE TABLE play.mine (id int)")
    with pytest.raises(TargetRefused, match="powerless") as refusal:
        end_grant(shop.target, to_end(order))
    assert refusal.value.sqlstate == "42501"
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(order)
    assert owner_of(shop) == order.login.role_name
    end_grant(shop.target, to_end(bystander))
    do_as_told(shop, refusal.value.todo)
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_it_runs_by_itself(new_shop: Callable[..., Shop], version: int, way: str) -> None:
    """Nor as jit_quarantine: ANALYZE computes what indexes and statistics say, as the owner of the table."""
    shop = open_shop(new_shop, version)
    order = made(
        shop,
        BACK_DOOR.replace("GRANT SELECT ON secret.salaries TO PUBLIC", "INSERT INTO play.seen SELECT current_user")
        + "CREATE TABLE play.seen (who text);"
        + WAYS[way],
    )
    end_grant(shop.target, to_end(order))
    with shop.as_dba() as dba:
        dba.execute("ANALYZE")
        dba.execute("VACUUM ANALYZE play.mine")
        ran_as = {who for (who,) in dba.execute("SELECT DISTINCT who FROM play.seen").fetchall()}
        assert ran_as <= {order.login.role_name}, "its own, before the end: autovacuum may come at any time"
        indexes = dba.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'play' AND tablename = 'mine'")
        assert ("plain",) in indexes.fetchall(), "what calls none of it stays"
        assert dba.execute("SELECT count(*) FROM play.mine").fetchone() == (100,)


@pytest.mark.parametrize("version", VERSIONS)
def test_triggers_rules_and_routines_sleep(new_shop: Callable[..., Shop], version: int) -> None:
    shop = open_shop(new_shop, version)
    order = made(
        shop,
        "CREATE TABLE play.log (who text); CREATE TABLE play.mine (id int);"
        "CREATE FUNCTION play.tg() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO play.log VALUES (current_user); RETURN NEW; END$$;"
        "CREATE TRIGGER t BEFORE INSERT ON play.mine FOR EACH ROW EXECUTE FUNCTION play.tg();"
        "CREATE RULE r AS ON UPDATE TO play.mine DO ALSO INSERT INTO play.log VALUES ('rule');"
        "CREATE FUNCTION play.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE AGGREGATE play.a (int) (SFUNC = int4pl, STYPE = int);"
        "CREATE PROCEDURE play.p(INOUT a int) LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';",
    )
    end_grant(shop.target, to_end(order))
    with shop.as_dba() as dba:
        dba.execute("INSERT INTO play.mine VALUES (1); UPDATE play.mine SET id = 2")
        assert dba.execute("SELECT * FROM play.log").fetchall() == []
        dba.execute("GRANT USAGE ON SCHEMA play TO jit_quarantine; SET ROLE jit_quarantine")
        for call in ("SELECT play.f()", "SELECT play.a(1)", "CALL play.p(1)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                dba.execute(call)  # type: ignore[call-overload]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "share",
    [
        "CREATE TABLE play.t (id int); GRANT SELECT ON play.t TO {w} WITH GRANT OPTION; SET ROLE {w};"
        " GRANT SELECT ON play.t TO {x}",
        "CREATE TABLE play.t (id int); GRANT SELECT (id) ON play.t TO {w} WITH GRANT OPTION; SET ROLE {w};"
        " GRANT SELECT (id) ON play.t TO {x}",
        "CREATE SEQUENCE play.s; GRANT USAGE ON SEQUENCE play.s TO {w} WITH GRANT OPTION; SET ROLE {w};"
        " GRANT USAGE ON SEQUENCE play.s TO {x}",
        "CREATE FUNCTION play.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        " GRANT EXECUTE ON FUNCTION play.f() TO {w} WITH GRANT OPTION; SET ROLE {w};"
        " GRANT EXECUTE ON FUNCTION play.f() TO {x}",
        "CREATE TYPE play.e AS ENUM ('a'); GRANT USAGE ON TYPE play.e TO {w} WITH GRANT OPTION; SET ROLE {w};"
        " GRANT USAGE ON TYPE play.e TO {x}",
        "SELECT lo_create(77); GRANT SELECT ON LARGE OBJECT 77 TO {w} WITH GRANT OPTION; SET ROLE {w};"
        " GRANT SELECT ON LARGE OBJECT 77 TO {x}",
    ],
    ids=["table", "column", "sequence", "routine", "type", "large object"],
)
def test_what_it_shared_of_its_own_goes_with_all_that_was_passed_on(
    new_shop: Callable[..., Shop], version: int, share: str
) -> None:
    """Permanent roles on both ends of the chain: REVOKE without CASCADE would refuse for ever."""
    shop = open_shop(new_shop, version)
    order = applied(shop)
    w, x = (f"{letter}_{secrets.token_hex(4)}" for letter in "wx")
    names = {"w": sql.Identifier(w), "x": sql.Identifier(x)}
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE ROLE {w}; CREATE ROLE {x}").format(**names))
        dba.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(order.login.role_name)))
        first, second = share.split(" SET ROLE {w};")
        dba.execute(sql.SQL(first).format(**names))  # type: ignore[arg-type]
        dba.execute(sql.SQL("RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION {w};" + second).format(**names))  # type: ignore[arg-type]
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)
    with shop.as_dba() as dba:
        query = "SELECT count(*) FROM pg_shdepend WHERE refobjid IN (%s::regrole, %s::regrole)"
        assert dba.execute(query, [w, x]).fetchone() == (0,)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_schema_of_its_own_is_closed_and_one_that_it_was_given_stays_open(
    new_shop: Callable[..., Shop], version: int
) -> None:
    shop = open_shop(new_shop, version)
    friend = f"friend_{secrets.token_hex(4)}"
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(friend)))
        dba.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO PUBLIC").format(sql.Identifier(shop.database)))
        dba.execute(sql.SQL("CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO {}").format(sql.Identifier(friend)))
    order = made(shop, f"CREATE SCHEMA theirs; GRANT CREATE, USAGE ON SCHEMA theirs TO {friend}, PUBLIC")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("ALTER SCHEMA shared OWNER TO {}").format(sql.Identifier(order.login.role_name)))
    end_grant(shop.target, to_end(order))
    with shop.as_dba() as dba:
        query = "SELECT has_schema_privilege(%s, 'theirs', 'USAGE'), has_schema_privilege(%s, 'shared', 'USAGE')"
        assert dba.execute(query, [friend, friend]).fetchone() == (False, True)


@proves(advice.let_create_in)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_publication_and_a_schema_are_handed_over_after_what_is_advised(
    new_shop: Callable[..., Shop], version: int
) -> None:
    shop = open_shop(new_shop, version)
    order = applied(shop)
    role = sql.Identifier(order.login.role_name)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("CREATE PUBLICATION p; ALTER PUBLICATION p OWNER TO {}").format(role))
        dba.execute(sql.SQL("CREATE SCHEMA theirs AUTHORIZATION {}").format(role))
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))
    assert "hand its objects over" in refusal.value.what
    assert "GRANT CREATE ON DATABASE" in refusal.value.todo
    assert "INHERIT" not in refusal.value.todo, "what is so already is not advised"
    do_as_told(shop, refusal.value.todo)
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)


@proves(advice.let_use_wrappers)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_foreign_server_is_handed_over_after_what_is_advised(new_shop: Callable[..., Shop], version: int) -> None:
    shop = open_shop(new_shop, version)
    order = applied(shop)
    with shop.as_dba() as dba:
        dba.execute('CREATE FOREIGN DATA WRAPPER "no where"; CREATE SERVER theirs FOREIGN DATA WRAPPER "no where"')
        role = sql.Identifier(order.login.role_name)
        dba.execute('GRANT USAGE ON FOREIGN DATA WRAPPER "no where" TO PUBLIC')
        dba.execute(sql.SQL("ALTER SERVER theirs OWNER TO {}").format(role))
        dba.execute('REVOKE USAGE ON FOREIGN DATA WRAPPER "no where" FROM PUBLIC')
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))
    do_as_told(shop, refusal.value.todo)
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_that_was_handed_over_stands_in_the_receipt(new_shop: Callable[..., Shop], version: int) -> None:
    shop = open_shop(new_shop, version)
    order = applied(shop)
    name = f"theirs_{secrets.token_hex(4)}"
    with shop.as_dba() as dba:
        names = {"d": sql.Identifier(name), "r": sql.Identifier(order.login.role_name)}
        dba.execute(sql.SQL("CREATE DATABASE {d} OWNER {r}").format(**names))
    assert end_grant(shop.target, to_end(order)).reassigned == (f"database {name}",)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("DROP DATABASE {d}").format(**names))


@proves(advice.let_event_trigger_run)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_trigger_that_refuses_is_named_with_what_helps(new_shop: Callable[..., Shop], version: int) -> None:
    """It logs DDL into a table that only its owner may write, with the rights of whoever changes something."""
    shop = open_shop(new_shop, version)
    order = made(shop, "CREATE TABLE play.mine (id int)")
    with shop.as_dba() as dba:
        dba.execute(
            "CREATE SCHEMA audit; CREATE TABLE audit.log (tag text);"
            "CREATE FUNCTION audit.note() RETURNS event_trigger LANGUAGE plpgsql AS"
            " $$BEGIN INSERT INTO audit.log VALUES (tg_tag); END$$;"
            "CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION audit.note()"
        )
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(order))
    assert refusal.value.sqlstate == "42501"
    assert "event trigger noting" in refusal.value.todo
    assert "audit.note()" in refusal.value.todo
    assert "GRANT" not in refusal.value.todo, "what is so already is not advised"
    do_as_told(shop, refusal.value.todo)
    assert end_grant(shop.target, to_end(order)).reassigned == (shop.database,)
    assert owner_of(shop) == "jit_quarantine"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_connection_test_says_who_takes_over_and_what_they_have_to_lose(
    new_shop: Callable[..., Shop], version: int
) -> None:
    shop = open_shop(new_shop, version)
    owner = f"{shop.database}_owner"
    for chosen, state, words in (
        ("", RungState.PASSED, "jit_quarantine takes over"),
        ("nobody_there", RungState.WARNED, "is missing"),
        (owner, RungState.WARNED, "jit_quarantine takes over instead"),
    ):
        target = replace(shop.target, leftover_owner=chosen)
        [rung] = [rung for rung in ladder.test_connection(target) if rung.name == "Leftovers"]
        assert (rung.state, words in rung.detail) == (state, True), rung


@pytest.mark.parametrize("version", VERSIONS)
def test_the_connection_test_says_what_a_quarantine_was_given(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    shop = shop_on(own_server(version))
    with shop.as_dba() as dba:
        dba.execute("GRANT pg_read_all_data TO jit_quarantine; GRANT SELECT ON app.orders TO jit_quarantine")
    for state in (RungState.WARNED, RungState.PASSED):
        [rung] = [rung for rung in ladder.test_connection(shop.target) if rung.name == "Leftovers"]
        assert rung.state is state, rung
        if rung.fix:
            do_as_told(shop, rung.fix)
