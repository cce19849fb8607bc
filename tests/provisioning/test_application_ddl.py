"""The application's own DDL beside ours: it waits for a moment and succeeds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from accessmgmt.provisioning.privileges import plan
from accessmgmt.provisioning.privileges.plan import hold, plan_capability
from accessmgmt.provisioning.privileges.read import inspect_target, scope_of
from accessmgmt.provisioning.session import conversation
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.explain import is_worth_repeating
from accessmgmt.provisioning.statements.reading import READ_CHUNK
from tests.orders import of_installation, to_end
from tests.provisioning.beside import Beside, before_the_commit
from tests.provisioning.conftest import SHOP, Shop, new_installation, new_order, permissions

VERSIONS = [18, 17, 14]
FOREIGN = """
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER there FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE app.remote (id int) SERVER there;
ALTER FOREIGN TABLE app.remote OWNER TO {owner};
"""
CREATE_TRIGGER = (
    "CREATE TRIGGER same BEFORE UPDATE ON app.customers"
    " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
)
TABLES, SEQUENCES, SCHEMAS = "grant on the chunk's tables", "grant on sequence", "grant on schema"
BESIDE_A_GRANT = [
    (TABLES, "DROP TABLE app.orders CASCADE"),
    (TABLES, "ALTER TABLE app.customers ADD COLUMN extra int"),
    (TABLES, CREATE_TRIGGER),
    (TABLES, "ALTER TABLE app.tickets ADD FOREIGN KEY (id) REFERENCES app.customers (id)"),
    (TABLES, "ALTER TABLE app.customers SET (fillfactor = 70)"),
    (TABLES, "DROP MATERIALIZED VIEW app.totals"),
    (TABLES, "REFRESH MATERIALIZED VIEW app.totals"),
    (TABLES, "CREATE OR REPLACE VIEW app.recent AS SELECT *, 1 AS one FROM app.orders"),
    (TABLES, "ALTER FOREIGN TABLE app.remote ADD COLUMN extra int"),
    (SEQUENCES, "DROP TABLE app.orders CASCADE"),
    (SEQUENCES, "TRUNCATE app.orders RESTART IDENTITY"),
    (SEQUENCES, "DROP SEQUENCE app.free_numbers CASCADE"),
    (SEQUENCES, "ALTER SEQUENCE app.free_numbers RESTART"),
    (SEQUENCES, "ALTER SEQUENCE app.free_numbers RENAME TO numbers"),
    (SCHEMAS, "DROP SCHEMA app CASCADE"),
]
BESIDE_A_REVOKE = [
    ("revoke what is too much on tables", "DROP TABLE app.orders CASCADE"),
    ("revoke what is too much on tables", "DROP MATERIALIZED VIEW app.totals"),
    ("revoke what is too much on sequence", "DROP SEQUENCE app.free_numbers CASCADE"),
    ("drop its privileges", "DROP SCHEMA app CASCADE"),
]


@pytest.fixture(params=VERSIONS)
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    shop = new_shop(request.param)
    with shop.as_dba() as conn:
        conn.execute(sql.SQL(FOREIGN).format(owner=sql.Identifier(f"{shop.database}_owner")))
    return shop


def application(shop: Shop, statement: str) -> Beside:
    """The owner of the tables, who runs one statement; "done", or the error, comes of it."""

    def run() -> str:
        with shop.as_dba() as conn:
            conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
            try:
                conn.execute(statement)  # type: ignore[call-overload]
            except psycopg.Error as error:
                return f"{error.sqlstate} {error}"
        return "done"

    return Beside(shop, run)


def an_order(wanted: PermissionSet | None = None) -> GrantOrder:
    """An order of an installation of its own: its capability role is nobody else's on the server."""
    order = new_order(wanted or permissions("SELECT,INSERT", "app", "*"))
    return of_installation(order, new_installation())


@pytest.mark.parametrize(("at", "statement"), BESIDE_A_GRANT)
def test_beside_a_grant(shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str, statement: str) -> None:
    running = application(shop, statement)
    before_the_commit(monkeypatch, at, running.begin)
    takes_all = statement.startswith("DROP SCHEMA")
    with suppress(TargetRefused) if takes_all else nullcontext():
        assert apply_grant(shop.target, an_order(), budget_seconds=30).table_count >= 8 or takes_all
    assert running.end() == "done"


@pytest.mark.parametrize(("at", "statement"), BESIDE_A_REVOKE)
def test_beside_the_end_of_a_set(shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str, statement: str) -> None:
    order = an_order(permissions("SELECT,INSERT", "app", "orders,totals,tickets"))
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    running = application(shop, statement)
    before_the_commit(monkeypatch, at, running.begin)
    report = retire_capabilities(shop.target, order.login.installation, set())
    assert running.end() == "done"
    assert report.dropped == (order.set.capability,), report.kept


def test_beside_the_end_of_a_login_that_was_granted_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody granted straight to the login, which the portal never does: that is taken back with the same care."""
    order = an_order(permissions("SELECT", "app", "orders"))
    apply_grant(shop.target, order)
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        dba.execute(sql.SQL("GRANT SELECT ON app.customers TO {}").format(sql.Identifier(order.login.role_name)))
    running = application(shop, "DROP TABLE app.customers")
    before_the_commit(monkeypatch, "revoke what is too much on tables", running.begin)
    end_grant(shop.target, to_end(order))
    assert running.end() == "done"


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE app.customers", "ALTER TABLE app.customers ADD COLUMN extra int", CREATE_TRIGGER],
)
def test_beside_a_rehearsal(shop: Shop, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """What is rolled back lets the application's statement go on, without any lock of ours."""
    running = application(shop, statement)
    before_the_commit(monkeypatch, TABLES, running.begin, last="roll back")
    with suppress(TargetRefused):
        apply_grant(shop.target, an_order(permissions("SELECT", "app", "customers")))
    assert running.end() == "done"


def test_beside_a_grant_that_finds_a_vacuum_at_work(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    running = application(shop, CREATE_TRIGGER)
    with shop.as_dba() as vacuum:
        vacuum.execute("BEGIN; LOCK TABLE app.customers IN SHARE UPDATE EXCLUSIVE MODE")

        def begin() -> None:
            running.begin()
            vacuum.execute("COMMIT")
            running.await_blocked()

        before_the_commit(monkeypatch, TABLES, begin)
        apply_grant(shop.target, an_order())
    assert running.end() == "done"


def test_a_running_vacuum_holds_nothing_up(shop: Shop) -> None:
    """VACUUM, CREATE INDEX and the like hold what we would like to, for long: then it is done without."""
    with shop.as_dba() as dba, dba.transaction():
        dba.execute("LOCK TABLE app.orders IN SHARE UPDATE EXCLUSIVE MODE")
        dba.execute("LOCK TABLE app.customers IN SHARE MODE")
        assert apply_grant(shop.target, an_order(), budget_seconds=5).table_count == 11


@pytest.mark.parametrize("tables", ["*", "Orders of 'Q1',measures"])
@pytest.mark.parametrize("drop", ["DROP TABLE app.\"Orders of 'Q1'\"", "DROP SCHEMA app CASCADE"])
def test_what_is_dropped_while_we_look_keeps_its_name(new_shop: Callable[..., Shop], drop: str, tables: str) -> None:
    """An OID's text is a bare number by then, which would be a syntax error for good; the name is found missing."""
    quoted = "app.\"Orders of 'Q1'\""
    shop = new_shop(14, tables=f"{SHOP} CREATE TABLE {quoted} (id serial)")
    order = an_order(permissions("SELECT,INSERT", "app", tables))
    with admin_session(shop.target, Budget(10)) as session, shop.as_dba() as dba:
        scope = scope_of(order.set, session.server_version)
        session.conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.conn.execute("SELECT FROM pg_class LIMIT 1")
        dba.execute(drop)  # type: ignore[call-overload]
        found = inspect_target(session, scope)
        gone = [drift for drift in found.drift if "Q1" in drift.name]
        rows = session.ask(
            READ_CHUNK,
            {"capability": scope.capability, "wanted": ["USAGE"], "oids": [drift.oid for drift in gone]},
        )
        session.roll_back()
        names = {(drift.kind, drift.name, drift.can_grant) for drift in gone}
        assert names == {("relation", quoted, True), ("sequence", "app.\"Orders of 'Q1'_id_seq\"", True)}
        assert {row["name"] for row in rows} == {name for _, name, _ in names}
        assert not plan_capability(found).refused
        with pytest.raises(psycopg.errors.UndefinedTable) as error:
            session.send(hold([(drift.name, drift.relkind) for drift in gone]))
        assert is_worth_repeating(error.value)
    if drop.startswith("DROP TABLE"):
        assert apply_grant(shop.target, order).table_count == (10 if tables == "*" else 1)


def test_a_table_that_is_swapped_for_another(shop: Shop) -> None:
    """Between the look and the lock the name went over to a new table: it is looked at again."""
    order, is_done = an_order(permissions("SELECT", "app", "orders")), False

    def swap(description: str) -> None:
        nonlocal is_done
        if description == "lock what is named" and order.set.permissions and not is_done and is_made():
            is_done = True
            with shop.as_dba() as dba:
                dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
                dba.execute("ALTER TABLE app.orders RENAME TO orders_before; CREATE TABLE app.orders (id int)")

    def is_made() -> bool:
        name = order.set.capability
        with shop.as_dba() as dba:
            return dba.execute("SELECT to_regrole(%s) IS NOT NULL", [name]).fetchone() == (True,)

    conversation.before_statement = swap
    try:
        receipt = apply_grant(shop.target, order)
    finally:
        conversation.before_statement = None
    assert is_done
    assert receipt.table_count == 1
    with shop.log_in(order) as user:
        user.execute("SELECT * FROM app.orders")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute("SELECT * FROM app.orders_before")


def test_many_schemas_and_sequences_are_done_in_parts(
    new_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "CHUNK_SIZE", 2)
    shop = new_shop(
        14,
        tables="DO $$BEGIN FOR i IN 1..5 LOOP EXECUTE format('CREATE SCHEMA s%s', i);"
        " EXECUTE format('CREATE TABLE s%s.t (id serial)', i); END LOOP; END$$",
    )
    sent: list[str] = []
    conversation.before_statement = sent.append
    try:
        order = an_order(permissions("SELECT,INSERT", "s*", "*"))
        assert apply_grant(shop.target, order).table_count == 5
    finally:
        conversation.before_statement = None
    assert sent.count("grant on sequence") == 3
    assert sent.count("grant on the chunk's tables") - 1 == 3, "one of them is the rehearsal"
    assert sent.count("lock the schemas") == 8, "5 schemas, and new tables and sequences in each"
    with shop.log_in(order) as user:
        for number in range(1, 6):
            user.execute(f"INSERT INTO s{number}.t DEFAULT VALUES")  # type: ignore[arg-type]
