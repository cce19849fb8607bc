"""What somebody leaves in a capability role's name gives nobody anything once their grant is over."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftKind, DriftOrder
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.session import conversation
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")
PASSWORD = "an-other-pass-word"
PEEK = "CREATE FUNCTION play.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM app.orders'"


@dataclass
class House:
    """A shop in which everybody may create in the schema play, two grants of one set, and a stranger who may log in."""

    shop: Shop
    alice: GrantOrder
    bob: GrantOrder
    stranger: str

    @property
    def target(self) -> Target:
        return self.shop.target

    def dba(self, *statements: str) -> None:
        with self.shop.as_dba() as conn:
            for text in statements:
                conn.execute(text)  # type: ignore[arg-type]

    def as_set(self, order: GrantOrder, *statements: str) -> None:
        """Run these as the capability role, which the order's person has stepped into."""
        with self.shop.log_in(order) as user:
            user.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(order.set.capability)))
            for text in statements:
                user.execute(text)  # type: ignore[arg-type]

    def strange(self, text: str) -> object:
        """Run a query as the stranger; return its only value, or the error's class."""
        with self.shop.server.connect(self.shop.database, self.stranger, PASSWORD) as conn:
            try:
                return conn.execute(text).fetchall()[0][0]  # type: ignore[arg-type]
            except psycopg.Error as error:
                return type(error)

    def owned(self) -> list[str]:
        """What the capability role owns, by the server's own dependencies."""
        with self.shop.as_dba() as conn:
            rows = conn.execute(
                "SELECT pg_describe_object(classid, objid, 0) FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid"
                " WHERE d.datname = current_database() AND refobjid = %s::regrole AND deptype = 'o'",
                [self.alice.set.capability],
            ).fetchall()
        return [name for (name,) in rows]


def house_on(shop: Shop) -> House:
    alice = of_installation(new_order(ORDERS), new_installation())
    bob = of_installation(new_order(ORDERS, who="bob"), alice.login.installation)
    stranger = f"stranger_{secrets.token_hex(4)}"
    receipts = [apply_grant(shop.target, order) for order in (alice, bob)]
    alice, bob = (
        as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)
        for order, receipt in zip((alice, bob), receipts, strict=True)
    )
    house = House(shop, alice, bob, stranger)
    house.dba(
        f"CREATE ROLE {stranger} LOGIN PASSWORD '{PASSWORD}'",
        f'GRANT CONNECT ON DATABASE "{shop.database}" TO {stranger}',
        "CREATE SCHEMA play",
        "GRANT ALL ON SCHEMA play TO PUBLIC",
    )
    if shop.server.version >= 16:
        house.dba(
            "SET ROLE jit_portal",
            *(f'GRANT "{o.set.capability}" TO "{o.login.role_name}" WITH SET TRUE' for o in (alice, bob)),
        )
    return house


@pytest.fixture(params=[14, 15, 18])
def house(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> House:
    return house_on(new_shop(request.param))


@pytest.fixture
def old_house(new_shop: Callable[..., Shop]) -> House:
    return house_on(new_shop(14))


def test_a_routine_with_the_sets_rights_ends_with_the_grant(house: House) -> None:
    house.as_set(house.alice, PEEK)
    assert house.strange("SELECT play.peek()") == 1
    receipt = end_grant(house.target, to_end(house.alice))
    assert house.strange("SELECT play.peek()") is psycopg.errors.InsufficientPrivilege
    assert house.owned() == []
    [note] = receipt.notes
    assert "function play.peek()" in note
    assert house.alice.set.capability in note
    assert "went to jit_quarantine" in note
    with house.shop.log_in(house.bob) as bob:
        assert bob.execute("SELECT count(*) FROM app.orders").fetchall() == [(1,)], "the others keep the set"
    assert end_grant(house.target, to_end(house.bob)).notes == ()


def test_it_is_disarmed_where_leftovers_are_left_to_an_admin(house: House) -> None:
    house.as_set(
        house.alice, PEEK, "CREATE VIEW play.all AS SELECT * FROM app.orders", "GRANT SELECT ON play.all TO PUBLIC"
    )
    keeping = replace(house.target, leftovers="keep")
    [note] = end_grant(keeping, to_end(house.alice)).notes
    assert "leaves it to an admin" in note
    assert len(house.owned()) == 2
    for query in ("SELECT play.peek()", "SELECT count(*) FROM play.all"):
        assert house.strange(query) is psycopg.errors.InsufficientPrivilege
    end_grant(keeping, to_end(house.bob))


def test_what_was_left_in_another_database_is_found(old_house: House, new_shop: Callable[..., Shop]) -> None:
    other = new_shop(14)
    with other.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT ALL ON SCHEMA play TO PUBLIC")
    with old_house.shop.server.connect(
        other.database, old_house.alice.login.role_name, old_house.alice.password
    ) as user:
        user.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(old_house.alice.set.capability)))
        user.execute("CREATE FUNCTION play.there() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    [note] = end_grant(old_house.target, to_end(old_house.alice)).notes
    assert note.startswith(f"{other.database}: ")
    with other.as_dba() as dba:
        query = "SELECT pg_get_userbyid(proowner), prosecdef FROM pg_proc WHERE proname = 'there'"
        assert dba.execute(query).fetchall() == [("jit_quarantine", False)]


def test_what_comes_while_the_login_is_being_ended_is_found(house: House) -> None:
    """Made after the first look and before the session ends."""
    user = house.shop.log_in(house.alice)
    user.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(house.alice.set.capability)))

    def make(description: str) -> None:
        if description == "fence the login role":
            conversation.before_statement = None
            user.execute(PEEK)  # type: ignore[arg-type]

    conversation.before_statement = make
    try:
        receipt = end_grant(house.target, to_end(house.alice))
    finally:
        conversation.before_statement = None
    assert house.strange("SELECT play.peek()") is psycopg.errors.InsufficientPrivilege
    assert any("play.peek()" in note for note in receipt.notes)


def test_a_new_owner_that_is_missing_keeps_nothing_armed(house: House) -> None:
    house.as_set(house.alice, PEEK)
    chosen = replace(house.target, leftover_owner=f"nobody_{secrets.token_hex(3)}")
    [note] = end_grant(chosen, to_end(house.alice)).notes
    assert "does not exist" in note
    assert house.strange("SELECT play.peek()") is psycopg.errors.InsufficientPrivilege


def test_nobody_new_gets_a_set_that_is_armed(house: House) -> None:
    house.as_set(house.alice, PEEK)
    order = of_installation(new_order(ORDERS, who="carol"), house.alice.login.installation)
    apply_grant(house.target, order)
    assert house.strange("SELECT play.peek()") is psycopg.errors.InsufficientPrivilege
    end_grants(house.target, [to_end(order), to_end(house.alice), to_end(house.bob)])


def test_the_drift_check_calls_it_armed_and_disarms_it_whoever_takes_over(house: House) -> None:
    house.as_set(house.alice, PEEK)
    wanted = DriftOrder(
        house.alice.login.installation,
        (ORDERS,),
        (),
        frozenset({house.alice.login.role_name, house.bob.login.role_name}),
    )
    [finding] = [f for f in check_drift(house.target, wanted).findings if f.kind is DriftKind.OWNERSHIP]
    assert "others can run or read it" in finding.what
    chosen = replace(house.target, leftover_owner=f"nobody_{secrets.token_hex(3)}")
    repair(chosen, wanted, [finding])
    assert house.strange("SELECT play.peek()") is psycopg.errors.InsufficientPrivilege
    [finding] = [f for f in check_drift(house.target, wanted).findings if f.kind is DriftKind.OWNERSHIP]
    assert "others can run or read it" not in finding.what


@pytest.mark.parametrize("version", [14, 16, 18])
def test_what_members_would_share_in_its_name_ends_with_the_grant(new_shop: Callable[..., Shop], version: int) -> None:
    """A member may set default privileges for the role, without stepping into it."""
    house = house_on(new_shop(version))
    with house.shop.log_in(house.alice) as alice:
        for what in ("GRANT ALL ON TABLES", "IN SCHEMA play GRANT USAGE ON SEQUENCES", "REVOKE ALL ON ROUTINES"):
            way = "FROM PUBLIC" if what.startswith("REVOKE") else f"TO {house.stranger}"
            alice.execute(f'ALTER DEFAULT PRIVILEGES FOR ROLE "{house.alice.set.capability}" {what} {way}')  # type: ignore[call-overload]
    wanted = DriftOrder(
        house.alice.login.installation,
        (ORDERS,),
        (),
        frozenset({house.alice.login.role_name, house.bob.login.role_name}),
    )
    [finding] = [f for f in check_drift(house.target, wanted).findings if f.kind is DriftKind.OWNERSHIP]
    assert "default privileges for role" in finding.what

    [note] = end_grant(house.target, to_end(house.alice)).notes

    assert "ALTER DEFAULT PRIVILEGES" in note
    with house.shop.as_dba() as conn:
        query = "SELECT count(*) FROM pg_default_acl WHERE defaclrole = %s::regrole"
        assert conn.execute(query, [house.alice.set.capability]).fetchone() == (0,)
    assert not [f for f in check_drift(house.target, wanted).findings if f.kind is DriftKind.OWNERSHIP]


def test_the_drift_check_takes_back_what_members_would_share(house: House) -> None:
    with house.shop.log_in(house.alice) as alice:
        words = (
            f'ALTER DEFAULT PRIVILEGES FOR ROLE "{house.alice.set.capability}" GRANT ALL ON TABLES TO {house.stranger}'
        )
        alice.execute(words)  # type: ignore[call-overload]
    wanted = DriftOrder(
        house.alice.login.installation,
        (ORDERS,),
        (),
        frozenset({house.alice.login.role_name, house.bob.login.role_name}),
    )
    [finding] = [f for f in check_drift(house.target, wanted).findings if f.kind is DriftKind.OWNERSHIP]
    assert repair(house.target, wanted, [finding]).refused == ()
    assert not [f for f in check_drift(house.target, wanted).findings if f.kind is DriftKind.OWNERSHIP]


EVERYTHING = """
CREATE TABLE play.t AS SELECT * FROM app.orders;
GRANT ALL ON play.t TO PUBLIC;
CREATE VIEW play.v AS SELECT * FROM app.orders;
GRANT SELECT ON play.v TO PUBLIC;
CREATE MATERIALIZED VIEW play.m AS SELECT * FROM app.orders;
GRANT SELECT ON play.m TO PUBLIC;
CREATE SEQUENCE play.s;
GRANT ALL ON SEQUENCE play.s TO PUBLIC;
CREATE FUNCTION play.f(int, int) RETURNS bool LANGUAGE sql SECURITY DEFINER AS 'SELECT true FROM app.orders';
CREATE PROCEDURE play.p() LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM app.orders';
CREATE AGGREGATE play.a(int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE TYPE play.e AS ENUM ('x');
CREATE DOMAIN play.d AS int;
CREATE OPERATOR play.=== (function = play.f, leftarg = int, rightarg = int);
CREATE COLLATION play.c FROM "C";
CREATE CONVERSION play.n FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH CONFIGURATION play.w (copy = simple);
CREATE TEXT SEARCH DICTIONARY play.x (template = simple);
CREATE STATISTICS play.z ON id, item FROM play.t;
CREATE RULE r AS ON INSERT TO play.t DO ALSO SELECT play.f(1, 2);
CREATE FUNCTION play.tg() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER tg BEFORE INSERT ON play.t FOR EACH ROW EXECUTE FUNCTION play.tg();
ALTER TABLE play.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY y ON play.t USING (play.f(1, 2));
SELECT lo_create(4711);
GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
"""


def test_nothing_that_a_set_can_come_to_own_is_anybodys(house: House) -> None:
    house.as_set(house.alice, EVERYTHING)
    receipt = end_grant(house.target, to_end(house.alice))
    assert house.owned() == []
    assert len(receipt.notes) == 2
    denied = psycopg.errors.InsufficientPrivilege
    for query in (
        "SELECT count(*) FROM play.t",
        "SELECT count(*) FROM play.v",
        "SELECT count(*) FROM play.m",
        "SELECT nextval('play.s')",
        "SELECT play.f(1, 2)",
        "CALL play.p()",
        "SELECT 1 OPERATOR(play.===) 2",
        "SELECT lo_get(4711)",
    ):
        assert house.strange(query) is denied, query
    end_grant(house.target, to_end(house.bob))
