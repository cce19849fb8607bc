"""Every piece of advice works: who is named does as told, and the act that was refused before succeeds."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from psycopg import sql

import tests.provisioning
from accessmgmt.domain.drift import DriftFinding, DriftOrder
from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import Rung, RungState, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from accessmgmt.provisioning.statements import advice, advice_login
from devstack.postgres import PostgresServer
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.advised import PROVEN, name_of, proves
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.provisioning.dba import do_as_told

ORDERS = permissions("SELECT", "app", "orders")


@dataclass
class Case:
    """A shop, on a server of its own, whose set-up a test spoils."""

    shop: Shop
    installation: Installation

    @property
    def version(self) -> int:
        return self.shop.server.version

    def run(self, text: str, database: str = "", **names: str) -> None:
        """Run statements as a superuser; {db}, {owner} and {login} are the shop's."""
        shop = self.shop
        known = {"db": shop.database, "owner": f"{shop.database}_owner", "login": shop.target.username, **names}
        with shop.as_dba(database) as conn:
            conn.execute(sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in known.items()}))  # type: ignore[arg-type]
        close_pools()

    def rung(self, name: str, target: Target | None = None) -> Rung:
        close_pools()
        target = target or self.shop.target
        return next(r for r in ladder.test_connection(target, [ORDERS], self.installation) if r.name == name)

    def mends(self, name: str) -> Rung:
        """Do what a rung says, and see it pass."""
        before = self.rung(name)
        assert before.state is not RungState.PASSED, before
        do_as_told(self.shop, before.fix)
        after = self.rung(name)
        assert after.state is RungState.PASSED, after
        return before

    def order(self, tables: str = "orders", grants: str = "SELECT") -> GrantOrder:
        return of_installation(new_order(permissions(grants, "app", tables)), self.installation)

    def given(self, tables: str = "orders") -> GrantOrder:
        """Give access; return the order that ends it."""
        order = self.order(tables)
        receipt = apply_grant(self.shop.target, order)
        return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)

    def gives_when_told(self, order: GrantOrder, sqlstate: str | None = None) -> TargetRefused:
        """Ask for access, which is refused; do as told; get it, and end it."""
        with pytest.raises(TargetRefused) as refusal:
            apply_grant(self.shop.target, order)
        assert sqlstate is None or refusal.value.sqlstate == sqlstate, refusal.value
        do_as_told(self.shop, refusal.value.todo)
        close_pools()
        receipt = apply_grant(self.shop.target, order)
        end_grant(self.shop.target, to_end(order, role_oid=receipt.role_oid))
        return refusal.value

    def ends_when_told(self, ending: GrantOrder, target: Target | None = None) -> TargetError:
        """End access, which does not work; do as told; see it end."""
        target = target or self.shop.target
        with pytest.raises(TargetError) as refusal:
            end_grant(target, to_end(ending))
        do_as_told(self.shop, refusal.value.todo)
        close_pools()
        end_grant(target, to_end(ending))
        return refusal.value

    def findings(self, *, of_live: GrantOrder | None = None) -> list[DriftFinding]:
        names = frozenset({of_live.login.role_name}) if of_live else frozenset[str]()
        wanted = DriftOrder(self.installation, (of_live.set.permissions,) if of_live else (), (), names)
        return list(check_drift(self.shop.target, wanted).findings)


@pytest.fixture(params=[14, 16, 18])
def case(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Case:
    server = own_server(request.param, max_prepared_transactions=5)
    return Case(shop_on(server), new_installation())


@proves(advice.step_into)
def test_a_log_in_that_cannot_step_into_the_admin_role(case: Case) -> None:
    case.run("REVOKE jit_portal FROM {login}")
    case.mends("Rights")


@proves(advice.create_roles)
def test_an_admin_role_that_may_not_create_roles(case: Case) -> None:
    case.run("ALTER ROLE jit_portal NOCREATEROLE")
    case.gives_when_told(case.order(), "42501")


@proves(advice.pass_connect_on)
def test_an_admin_role_that_may_not_let_others_into_the_database(case: Case) -> None:
    case.run("REVOKE CONNECT ON DATABASE {db} FROM PUBLIC; CREATE ROLE boss; ALTER DATABASE {db} OWNER TO boss")
    case.gives_when_told(case.order(), "42501")


@proves(advice.hand_over_to)
def test_an_admin_role_that_cannot_hand_over(case: Case) -> None:
    case.run("REVOKE jit_quarantine FROM jit_portal")
    case.mends("Rights")


@proves(advice.administer)
@pytest.mark.parametrize("version", [16, 18])
def test_roles_that_another_credential_made(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    case = Case(shop_on(own_server(version)), new_installation())
    superuser = replace(case.shop.target, username="postgres", password=case.shop.server.password)
    order = case.order()
    receipt = apply_grant(superuser, order)
    case.ends_when_told(as_made(order, role_oid=receipt.role_oid))


@proves(advice.read_cluster)
def test_a_server_that_does_not_say_which_cluster_it_is(case: Case) -> None:
    case.run("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC")
    case.mends("Server")


@proves(advice.allow_connections)
def test_a_log_in_with_too_few_connections(case: Case) -> None:
    case.run("ALTER ROLE {login} CONNECTION LIMIT 3")
    limited = case.rung("Connections")
    assert "CONNECTION LIMIT" in limited.fix
    do_as_told(case.shop, limited.fix)
    assert "CONNECTION LIMIT" not in case.rung("Connections").fix


@proves(advice.share_owners)
def test_tables_of_an_owner_whom_the_admin_role_does_not_belong_to(case: Case) -> None:
    case.run('CREATE ROLE "The ""Boss"""; ALTER TABLE app.orders OWNER TO "The ""Boss"""')
    case.gives_when_told(case.order(), "42501")


@proves(advice.share_objects)
def test_tables_of_a_superuser(case: Case) -> None:
    case.run('CREATE TABLE app."Their Table" (id int)')
    case.gives_when_told(case.order("Their Table", "SELECT,INSERT"), "42501")


@proves(advice.undo_attributes)
@pytest.mark.parametrize("attributes", ["SUPERUSER", "REPLICATION", "BYPASSRLS", "CREATEDB BYPASSRLS"])
def test_a_capability_role_that_was_given_attributes(case: Case, attributes: str) -> None:
    first = case.given()
    case.run(f"ALTER ROLE {{role}} {attributes}", role=first.set.capability)
    case.gives_when_told(case.order())
    end_grant(case.shop.target, to_end(first))


@proves(advice.leave_roles)
@pytest.mark.parametrize("version", [16, 18])
def test_a_capability_role_that_somebody_made_a_member(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    """From 16 on only the word of who gave it counts, and whoever else revokes is told nothing."""
    case = Case(shop_on(own_server(version)), new_installation())
    first = case.given()
    case.run("CREATE ROLE giver CREATEROLE; GRANT pg_read_all_data TO giver WITH ADMIN OPTION")
    case.run("SET ROLE giver; GRANT pg_read_all_data TO {role}", role=first.set.capability)
    case.gives_when_told(case.order())
    end_grant(case.shop.target, to_end(first))


@proves(advice.take_back)
def test_what_a_capability_role_got_of_somebody_else_s(case: Case) -> None:
    first = case.given()
    case.run("GRANT SELECT ON pg_catalog.pg_authid TO {role}", role=first.set.capability)
    case.gives_when_told(case.order(), "42501")
    end_grant(case.shop.target, to_end(first))


@proves(advice.revoke_as_grantor)
def test_what_somebody_else_gave_to_a_capability_role(case: Case) -> None:
    first = case.given()
    case.run(
        "CREATE ROLE helper; GRANT USAGE ON SCHEMA app TO helper;"
        " GRANT SELECT ON app.orders TO helper WITH GRANT OPTION"
    )
    case.run("SET ROLE helper; GRANT SELECT ON app.orders TO {role}", role=first.set.capability)
    found = [finding for finding in case.findings(of_live=first) if "helper" in finding.sql]
    assert found
    for finding in found:
        do_as_told(case.shop, finding.sql)
    assert [finding for finding in case.findings(of_live=first) if "helper" in finding.sql] == []
    end_grant(case.shop.target, to_end(first))


@proves(advice.as_the_portal)
@pytest.mark.parametrize(
    "trouble",
    [
        "GRANT {role} TO stranger",
        "GRANT INSERT ON app.orders TO {role}",
        "REVOKE SELECT ON app.orders FROM {role}",
        "REVOKE USAGE ON SCHEMA app FROM {role}",
        "GRANT SELECT ON secret.salaries TO {role}",
    ],
)
def test_the_sql_that_drift_shows(case: Case, trouble: str) -> None:
    first = case.given()
    case.run("CREATE ROLE stranger")
    actor = "SET ROLE jit_portal; " if trouble.startswith("GRANT {role}") else "SET ROLE {owner}; "
    case.run(actor + trouble, role=first.set.capability)
    found = case.findings(of_live=first)
    assert found
    for finding in found:
        do_as_told(case.shop, finding.sql)
    assert case.findings(of_live=first) == []
    end_grant(case.shop.target, to_end(first))


@proves(advice.make_room)
def test_a_stranger_with_the_login_s_name(case: Case) -> None:
    ending = case.given()
    case.run("DROP ROLE {role}; CREATE ROLE {role}", role=ending.login.role_name)
    case.ends_when_told(ending)


@proves(advice.make_owner)
def test_a_new_owner_of_leftovers_that_does_not_exist(case: Case) -> None:
    case.run("CREATE SCHEMA play AUTHORIZATION {owner}; GRANT CREATE ON SCHEMA play TO PUBLIC")
    ending = case.given()
    with case.shop.log_in(ending) as user:
        user.execute("CREATE TABLE play.mine (id int)")
    case.ends_when_told(ending, replace(case.shop.target, leftover_owner='The "Keeper"'))


@proves(advice.let_own_in)
def test_a_new_owner_that_may_not_own_in_the_schema(case: Case) -> None:
    ending = case.given()
    case.run("CREATE ROLE boss; CREATE SCHEMA play AUTHORIZATION boss")
    case.run("GRANT CREATE, USAGE ON SCHEMA play TO {role}", role=ending.login.role_name)
    with case.shop.log_in(ending) as user:
        user.execute("CREATE TABLE play.mine (id int)")
    case.ends_when_told(ending)


@proves(advice.let_create_in)
def test_a_new_owner_that_may_not_own_a_publication(case: Case) -> None:
    ending = case.given()
    case.run("CREATE PUBLICATION p; GRANT CREATE ON DATABASE {db} TO {role}", role=ending.login.role_name)
    case.run(
        "ALTER PUBLICATION p OWNER TO {role}; REVOKE CREATE ON DATABASE {db} FROM {role}", role=ending.login.role_name
    )
    case.ends_when_told(ending)


@proves(advice.let_use_wrappers)
def test_a_new_owner_that_may_not_own_a_foreign_server(case: Case) -> None:
    ending = case.given()
    case.run(
        "CREATE FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN DATA WRAPPER w TO {role};"
        " CREATE SERVER s FOREIGN DATA WRAPPER w;"
        " ALTER SERVER s OWNER TO {role}; REVOKE ALL ON FOREIGN DATA WRAPPER w FROM {role}",
        role=ending.login.role_name,
    )
    case.ends_when_told(ending)


@proves(advice.let_event_trigger_run)
def test_an_event_trigger_that_refuses_the_hand_over(case: Case) -> None:
    ending = case.given()
    case.run(
        "CREATE SCHEMA play AUTHORIZATION {owner}; GRANT CREATE, USAGE ON SCHEMA play TO {role}, jit_quarantine",
        role=ending.login.role_name,
    )
    with case.shop.log_in(ending) as user:
        user.execute("CREATE TABLE play.mine (id int)")
    case.run(
        "CREATE SCHEMA audit; CREATE TABLE audit.log (tag text); CREATE FUNCTION audit.note() RETURNS event_trigger"
        " LANGUAGE plpgsql AS $$BEGIN INSERT INTO audit.log VALUES (tg_tag); END$$;"
        " CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION audit.note()"
    )
    assert "SECURITY DEFINER" in case.ends_when_told(ending).todo


@proves(advice.finish_prepared)
def test_a_transaction_that_a_login_prepared(case: Case) -> None:
    case.run("CREATE SCHEMA play AUTHORIZATION {owner}; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    ending = case.given()
    with case.shop.log_in(ending) as user:
        user.execute("BEGIN; CREATE TABLE play.later (id int); PREPARE TRANSACTION 'it''s later'")
    case.ends_when_told(ending)


@proves(advice.end_backends)
def test_somebody_who_holds_what_a_login_left(case: Case) -> None:
    case.run("CREATE SCHEMA play AUTHORIZATION {owner}; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    case.run("CREATE ROLE reader LOGIN PASSWORD 'reader-pa55'")
    ending = case.given()
    with case.shop.log_in(ending) as user:
        user.execute("CREATE TABLE play.mine (id int); GRANT SELECT ON play.mine TO reader")
    reader = case.shop.server.connect(case.shop.database, "reader", "reader-pa55")
    reader.execute("BEGIN; LOCK TABLE play.mine IN ACCESS SHARE MODE")
    case.ends_when_told(ending)


@proves(advice.close_schema)
def test_schemas_of_several_owners_in_which_everybody_may_create(case: Case) -> None:
    case.run(
        'CREATE ROLE boss; CREATE SCHEMA "Play Ground" AUTHORIZATION boss; CREATE SCHEMA play AUTHORIZATION {owner};'
        ' GRANT CREATE ON SCHEMA "Play Ground", play TO PUBLIC'
    )
    case.mends("Schemas")


@proves(advice.close_routine)
def test_routines_that_run_with_their_owners_rights(case: Case) -> None:
    case.run(
        "CREATE ROLE boss; GRANT USAGE ON SCHEMA app TO boss; "
        " CREATE FUNCTION app.f(text) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
        " CREATE PROCEDURE app.p() LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; ALTER FUNCTION app.f OWNER TO boss"
    )
    case.mends("Open to everybody")


@proves(advice.undo_memberships)
def test_what_a_login_passed_on_while_somebody_held_that(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> None:
    """Up to 15 that outlives the login."""
    case = Case(shop_on(own_server(14)), new_installation())
    ending = case.given()
    case.run("CREATE ROLE o; CREATE ROLE friend; GRANT o TO {role} WITH ADMIN OPTION", role=ending.login.role_name)
    with case.shop.log_in(ending) as user:
        user.execute("GRANT o TO friend")
    with case.shop.as_dba() as dba:
        dba.execute("BEGIN; REVOKE o FROM friend")
        receipt = end_grant(case.shop.target, to_end(ending))
        dba.execute("ROLLBACK")
    [note] = [note for note in receipt.notes if "may not undo" in note]
    do_as_told(case.shop, note)
    with case.shop.as_dba() as dba:
        assert dba.execute("SELECT 1 FROM pg_auth_members WHERE member = 'friend'::regrole").fetchall() == []


@proves(advice.rename_back)
def test_a_login_that_nobody_would_know_again(case: Case) -> None:
    ending = case.given()
    case.run(
        "COMMENT ON ROLE {role} IS 'mine'; REVOKE {set} FROM {role}; ALTER ROLE {role} RENAME TO other_name"
        if case.version < 16
        else "COMMENT ON ROLE {role} IS 'mine'; SET ROLE jit_portal; REVOKE {set} FROM {role}; RESET ROLE;"
        " ALTER ROLE {role} RENAME TO other_name",
        role=ending.login.role_name,
        set=ending.set.capability,
    )
    case.ends_when_told(ending)


@proves(advice.drop_hook)
def test_a_trigger_that_a_login_left_on_a_table_of_somebody_else(case: Case) -> None:
    ending = case.given()
    case.run(
        "CREATE ROLE boss; CREATE SCHEMA play AUTHORIZATION {owner};"
        " GRANT CREATE, USAGE ON SCHEMA play TO {role}, jit_quarantine; GRANT TRIGGER ON app.customers TO {role};"
        " GRANT USAGE ON SCHEMA app TO boss",
        role=ending.login.role_name,
    )
    with case.shop.log_in(ending) as user:
        user.execute(
            "CREATE FUNCTION play.tg() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;"
            " CREATE TRIGGER left_over BEFORE INSERT ON app.customers FOR EACH ROW EXECUTE FUNCTION play.tg()"
        )
    case.run("REVOKE TRIGGER ON app.customers FROM {role}", role=ending.login.role_name)
    case.run("ALTER TABLE app.customers OWNER TO boss")
    assert "DROP TRIGGER" in case.ends_when_told(ending).todo


@proves(advice.take_back_by_hand)
def test_what_somebody_gave_to_a_login_directly(case: Case) -> None:
    ending = case.given()
    case.run(
        "CREATE ROLE helper; GRANT USAGE ON SCHEMA app TO helper;"
        " GRANT SELECT ON app.customers TO helper WITH GRANT OPTION"
    )
    case.run("SET ROLE helper; GRANT SELECT ON app.customers TO {role}", role=ending.login.role_name)
    case.ends_when_told(ending)


@proves(advice.take_back_by_hand)
@pytest.mark.parametrize("version", [15, 18])
def test_a_parameter_with_a_word_of_sql_in_its_name_that_somebody_gave_to_a_login(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    case = Case(shop_on(own_server(version)), new_installation())
    ending = case.given()
    case.run('GRANT SET ON PARAMETER a."group" TO {role}', role=ending.login.role_name)
    assert 'PARAMETER a."group"' in case.ends_when_told(ending).todo


@proves(advice.reserve_connections)
@pytest.mark.parametrize("version", [16, 18])
def test_a_server_that_keeps_no_connection_free(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    case = Case(shop_on(own_server(version, reserved_connections=0)), new_installation())
    before = case.rung("Connections")
    assert (before.state, "reserved_connections" in before.fix) == (RungState.WARNED, True)
    do_as_told(case.shop, before.fix)
    close_pools()
    case.shop.server.restart()
    assert case.rung("Connections").state is RungState.PASSED


@proves(advice.clear_by_hand)
def test_a_login_that_somebody_keeps_making_an_owner(case: Case) -> None:
    ending = case.given()

    def give_it_something(description: str) -> None:
        if description == "drop the login role":
            case.run("ALTER TABLE app.customers OWNER TO {role}", role=ending.login.role_name)

    conversation.before_statement = give_it_something
    try:
        with pytest.raises(TargetRefused) as refusal:
            end_grant(case.shop.target, to_end(ending))
    finally:
        conversation.before_statement = None
    assert "REASSIGN OWNED" in refusal.value.todo
    do_as_told(case.shop, refusal.value.todo)
    end_grant(case.shop.target, to_end(ending))


def test_every_piece_of_advice_is_proven() -> None:
    """A function that gives advice and has no test here, or beside it, is a statement that nobody has run."""
    for info in pkgutil.iter_modules(tests.provisioning.__path__):
        importlib.import_module(f"tests.provisioning.{info.name}")
    gives = [
        function
        for module in (advice, advice_login)
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and function.__annotations__.get("return") == "Advice"
    ]
    assert len(gives) > 30
    assert [name_of(function) for function in gives if name_of(function) not in PROVEN] == []


def test_nobody_else_writes_sql_for_a_dba() -> None:
    """Statements for people come from the advice modules: elsewhere none is composed, and nobody is told to run any."""
    folder = Path(advice.__file__).parent
    told = re.compile(r"(?:A DBA|superuser) runs|f?\"(?:GRANT|REVOKE|ALTER ROLE|REASSIGN|DROP OWNED)[^\"]*;\"")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.glob("*.py"))
        if not path.name.startswith(("advice", "statements"))
        for line in path.read_text().splitlines()
        if told.search(line)
    ]
    assert found == []


@proves(advice.use_reserved_connections)
@pytest.mark.parametrize("version", [16, 18])
def test_a_log_in_that_may_not_use_the_connections_that_are_kept_free(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], version: int
) -> None:
    case = Case(shop_on(own_server(version)), new_installation())
    case.run("REVOKE pg_use_reserved_connections FROM {login}")
    case.mends("Connections")
