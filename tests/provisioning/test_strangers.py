"""Anybody may give anything of theirs to a capability role: it is told, and keeps nobody from the set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, Severity
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import ApplyReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.privileges.strangers import MOST_TOLD
from devstack.postgres import PostgresServer
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.provisioning.dba import do_as_told

STRANGER = """
CREATE ROLE walter LOGIN;
CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC;
CREATE FOREIGN DATA WRAPPER w;
CREATE DATABASE walters OWNER walter
"""
RIGHTS = (
    "GRANT CREATE ON DATABASE {db} TO walter",
    "GRANT USAGE ON SCHEMA app TO walter",
    "GRANT USAGE ON FOREIGN DATA WRAPPER w TO walter",
)
TABLE = "CREATE TABLE play.w_t (id serial, note text)"
GIFTS = {
    "table": (TABLE, "GRANT SELECT, INSERT ON play.w_t TO {role} WITH GRANT OPTION", "play.w_t"),
    "column": (TABLE, "GRANT UPDATE (note) ON play.w_t TO {role}", "play.w_t"),
    "sequence": (TABLE, "GRANT UPDATE ON SEQUENCE play.w_t_id_seq TO {role}", "sequence play.w_t_id_seq"),
    "schema": ("CREATE SCHEMA w_s", "GRANT CREATE ON SCHEMA w_s TO {role}", "schema w_s"),
    "function": (
        "CREATE FUNCTION play.w_f(a int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "GRANT EXECUTE ON FUNCTION play.w_f TO {role}",
        "routine play.w_f(integer)",
    ),
    "type": ("CREATE TYPE play.w_e AS ENUM ('a')", "GRANT USAGE ON TYPE play.w_e TO {role}", "type play.w_e"),
    "large object": ("SELECT lo_create(4712)", "GRANT SELECT ON LARGE OBJECT 4712 TO {role}", "large object 4712"),
    "server": (
        "CREATE SERVER w_s FOREIGN DATA WRAPPER w",
        "GRANT USAGE ON FOREIGN SERVER w_s TO {role}",
        "foreign server w_s",
    ),
    "database": ("SELECT 1", "GRANT TEMPORARY ON DATABASE walters TO {role}", "database walters"),
    "future": (
        "SELECT 1",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA play GRANT SELECT ON TABLES TO {role}",
        "new tables of walter in schema play",
    ),
    "future of all": (
        "SELECT 1",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}",
        "new tables of walter in any schema",
    ),
}
"""What a stranger makes, what they give of it, and how that is called."""


@dataclass
class Town:
    """A shop, a grant in it, and a stranger who may log in and create."""

    shop: Shop
    given: GrantOrder

    @property
    def role(self) -> str:
        return self.given.set.capability

    def run(self, text: str, who: str = "") -> None:
        names = {"role": self.role, "db": self.shop.database, "owner": f"{self.shop.database}_owner"}
        with self.shop.as_dba() as dba:
            if who:
                dba.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(who)))
            dba.execute(sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()}))  # type: ignore[arg-type]

    def another(self) -> GrantOrder:
        return of_installation(new_order(self.given.set.permissions, who="bob"), self.given.login.installation)

    def gives(self) -> ApplyReceipt:
        """Give somebody new the set, and take it away again."""
        order = self.another()
        receipt = apply_grant(self.shop.target, order)
        end_grant(self.shop.target, to_end(order, role_oid=receipt.role_oid))
        return receipt

    def wanted(self) -> DriftOrder:
        names = frozenset({self.given.login.role_name})
        return DriftOrder(self.given.login.installation, (self.given.set.permissions,), (), names)

    def findings(self) -> list[DriftFinding]:
        found = check_drift(self.shop.target, self.wanted()).findings
        return [finding for finding in found if finding.kind is DriftKind.PRIVILEGE]


@pytest.fixture(params=[14, 16, 18])
def town(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Iterator[Town]:
    shop = shop_on(own_server(request.param))
    order = of_installation(new_order(permissions("SELECT", "app", "*")), new_installation())
    town = Town(shop, order)
    for statement in (*STRANGER.split(";"), *RIGHTS):
        town.run(statement)
    apply_grant(shop.target, order)
    yield town
    end_grant(shop.target, to_end(order))


def test_what_a_stranger_gives_of_their_own_is_told_and_keeps_nobody_from_the_set(town: Town) -> None:
    for gift, (make, give, name) in GIFTS.items():
        town.run(make, "walter")
        town.run(give, "walter")
        receipt = town.gives()
        [told] = receipt.gifts
        assert told.what.startswith("walter gave "), gift
        assert told.what.endswith(f" on {name}."), gift
        assert town.gives().gifts == receipt.gifts, f"{gift}: told again where the set is remembered"
        assert receipt.as_json()["gifts"] == [{"what": told.what, "todo": told.todo}]

        [finding] = town.findings()
        assert (finding.severity, finding.is_automatic, finding.is_for_dba) == (Severity.ALARM, False, True), gift
        assert "walter gave of their own, as anybody may: new grants go on" in finding.what
        assert "nobody new" not in finding.what
        report = resync_sets(town.shop.target, town.given.login.installation, [town.given.set.permissions])
        assert (report.refused, report.changes) == ({}, ()), gift
        assert repair(town.shop.target, town.wanted(), [finding]).mended == ()

        do_as_told(town.shop, told.todo)
        assert town.findings() == [], gift
        town.run(give, "walter")
        [finding] = town.findings()
        do_as_told(town.shop, finding.sql)
        assert town.findings() == [], gift
        assert town.gives().gifts == ()
        town.run("DROP OWNED BY walter CASCADE")
        for right in RIGHTS:
            town.run(right)


def test_a_stranger_s_gift_does_not_hide_what_an_administrator_gave(town: Town) -> None:
    """However many they are: nobody new gets the set, and the finding that says so comes first."""
    town.run(
        "DO $$BEGIN FOR n IN 5001..5250 LOOP PERFORM lo_create(n);"
        " EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', n, {text}); END LOOP; END$$".replace(
            "{text}", f"'{town.role}'"
        ),
        "walter",
    )
    receipt = town.gives()
    assert len(receipt.gifts) == MOST_TOLD + 1
    assert receipt.gifts[-1].what.startswith(f"And {250 - MOST_TOLD} more")
    town.run("GRANT SELECT ON pg_catalog.pg_authid TO {role}")
    assert town.findings()[0].object == "pg_catalog.pg_authid"
    with pytest.raises(TargetRefused, match=r"approved: SELECT on pg_catalog\.pg_authid\. Every") as refusal:
        town.gives()
    do_as_told(town.shop, refusal.value.todo)
    assert len(town.gives().gifts) == MOST_TOLD + 1


def test_a_stranger_s_table_where_everybody_may_create_is_their_own(town: Town) -> None:
    """Also in a schema of the set, and with the set's own privileges too."""
    town.run("GRANT CREATE ON SCHEMA app TO PUBLIC")
    town.run("CREATE TABLE app.w_t (id serial); GRANT SELECT, INSERT ON app.w_t TO {role}", "walter")
    receipt = town.gives()
    [told] = receipt.gifts
    assert told.what == "walter gave INSERT on app.w_t."
    do_as_told(town.shop, told.todo)
    assert town.gives().gifts == ()


REFUSED = {
    "of a superuser": (
        "CREATE ROLE dave SUPERUSER",
        "CREATE TABLE play.d_t (id int); GRANT SELECT ON play.d_t TO {role}",
        "dave",
    ),
    "of who may create roles": (
        "CREATE ROLE dave CREATEROLE",
        "CREATE TABLE play.d_t (id int); GRANT SELECT ON play.d_t TO {role}",
        "dave",
    ),
    "of who owns the database": (
        "CREATE ROLE dave; ALTER DATABASE {db} OWNER TO dave",
        "CREATE TABLE play.d_t (id int); GRANT SELECT ON play.d_t TO {role}",
        "dave",
    ),
    "of who owns a schema of the set": (
        "CREATE ROLE dave; ALTER SCHEMA app OWNER TO dave; GRANT USAGE ON SCHEMA app TO jit_portal WITH GRANT OPTION",
        "CREATE TABLE play.d_t (id int); GRANT SELECT ON play.d_t TO {role}",
        "dave",
    ),
    "of who owns a table of the set": (
        "CREATE ROLE dave; ALTER TABLE app.customers OWNER TO dave",
        "CREATE TABLE play.d_t (id int); GRANT SELECT ON play.d_t TO {role}",
        "dave",
    ),
    "of who lets the portal share a table where everybody may create": (
        "CREATE ROLE dave; GRANT CREATE ON SCHEMA app TO PUBLIC; ALTER TABLE app.customers OWNER TO dave;"
        " GRANT SELECT ON app.customers TO jit_portal WITH GRANT OPTION",
        "CREATE TABLE play.d_t (id int); GRANT SELECT ON play.d_t TO {role}",
        "dave",
    ),
    "on a table in a schema of the set": (
        "CREATE ROLE dave; GRANT CREATE, USAGE ON SCHEMA app TO dave",
        "CREATE TABLE app.d_t (id int); GRANT INSERT ON app.d_t TO {role}",
        "dave",
    ),
    "on a routine in a schema of the set": (
        "CREATE ROLE dave; GRANT CREATE, USAGE ON SCHEMA app TO dave",
        "CREATE FUNCTION app.d_f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION app.d_f TO {role}",
        "dave",
    ),
    "on a type in a schema of the set": (
        "CREATE ROLE dave; GRANT CREATE, USAGE ON SCHEMA app TO dave",
        "CREATE TYPE app.d_e AS ENUM ('a'); GRANT USAGE ON TYPE app.d_e TO {role}",
        "dave",
    ),
}
"""What makes somebody more than a stranger; what they give; who it is."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_belongs_to_the_application_or_comes_from_an_administrator_keeps_the_set(town: Town, case: str) -> None:
    before, words, who = REFUSED[case]
    town.run(before)
    close_pools()
    town.gives()
    town.run(words, who)
    with pytest.raises(TargetRefused, match="holds what nobody approved") as refusal:
        town.gives()
    assert any("given to nobody new" in finding.what for finding in town.findings())
    do_as_told(town.shop, refusal.value.todo)
    assert town.gives().gifts == ()
