"""What a set means is not for grantees to change: nothing that they make is in it, shadows it, or breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftOrder
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions

EVENTS = {"events_2024", "events_2025"}


class Company:
    """People with grants of one installation, in a shop in which everybody may create."""

    def __init__(self, shop: Shop, wanted: PermissionSet) -> None:
        self.shop, self.wanted, self.installation = shop, wanted, new_installation()
        with shop.as_dba() as dba:
            dba.execute("GRANT CREATE ON SCHEMA app TO PUBLIC; CREATE SCHEMA play; GRANT ALL ON SCHEMA play TO PUBLIC")
            dba.execute("GRANT ALL ON SCHEMA play, app TO jit_quarantine")
            dba.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO PUBLIC").format(sql.Identifier(shop.database)))
            dba.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO jit_quarantine").format(sql.Identifier(shop.database)))

    def order(self, who: str) -> GrantOrder:
        return of_installation(new_order(self.wanted, who=who), self.installation)

    def tables_of(self, order: GrantOrder) -> set[str]:
        """Give it, and return the tables of the receipt."""
        return {table.table for table in apply_grant(self.shop.target, order).tables}

    def check(self, *orders: GrantOrder) -> list[str]:
        wanted = DriftOrder(self.installation, (self.wanted,), (), frozenset(order.login.role_name for order in orders))
        return [f"{finding.object}: {finding.what}" for finding in check_drift(self.shop.target, wanted).findings]

    def resync(self) -> dict[str, str]:
        report = resync_sets(self.shop.target, self.installation, [self.wanted])
        assert not [change for change in report.changes if change.is_taken], "nobody loses anything"
        return dict(report.refused)

    def may_read(self, order: GrantOrder, table: str) -> bool:
        with self.shop.log_in(order) as user:
            try:
                user.execute(sql.SQL("SELECT FROM app.{}").format(sql.Identifier(table)))
            except psycopg.errors.InsufficientPrivilege:
                return False
        return True


@pytest.fixture(params=[18, 16, 14])
def company(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Company:
    return Company(new_shop(request.param), permissions("SELECT", "app", "events_*"))


TRICKS = {
    "a table of the pattern's own name": 'CREATE TABLE app."events_*" (id int)',
    "a view of the pattern's own name": 'CREATE VIEW app."events_*" AS SELECT 1 AS id',
    "a table that the pattern reaches": "CREATE TABLE app.events_mine (id int)",
    "a materialized view that it reaches": "CREATE MATERIALIZED VIEW app.events_mine AS SELECT 1 AS id",
    "partitions of a table of theirs": (
        "CREATE TABLE app.events_p (id int) PARTITION BY LIST (id);"
        " CREATE TABLE app.events_p1 PARTITION OF app.events_p FOR VALUES IN (1)"
    ),
    "children of a table of theirs": "CREATE TABLE app.events_m (id int);"
    " CREATE TABLE app.events_c () INHERITS (app.events_m)",
    "one that came in under another name": "CREATE TABLE play.x (id int); ALTER TABLE play.x RENAME TO events_x;"
    " ALTER TABLE play.events_x SET SCHEMA app",
    "a default from their own sequence": "CREATE SEQUENCE app.s;"
    " CREATE TABLE app.events_s (id int DEFAULT nextval('app.s'))",
    "names that hold whatever a name may hold": (
        'CREATE TABLE app."events_""\\n\n\' ; DROP TABLE x; --$$" (id int);'
        f'CREATE TABLE app."events_{"x" * 56}" (id int)'
    ),
    "a schema of the pattern's own name": 'CREATE SCHEMA "app*"; CREATE TABLE "app*".events_2024 (id int)',
    "a temporary table": "CREATE TEMP TABLE events_t (id int)",
    "thousands of them": "DO $$BEGIN FOR i IN 1..3000 LOOP"
    " EXECUTE format('CREATE TABLE app.events_x%s (id int)', i); END LOOP; END$$",
    "privileges on future tables": "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO {capability};"
    " CREATE TABLE app.events_f (id int)",
    "a present for the set": 'CREATE TABLE app."events_*" (id int); GRANT ALL ON app."events_*" TO {capability}',
}


@pytest.mark.parametrize("trick", TRICKS)
def test_what_a_grantee_makes_is_in_no_set_and_takes_nothing_from_others(company: Company, trick: str) -> None:
    """Neither while they live, nor when it lies in quarantine."""
    alice, bob, carol = company.order("alice"), company.order("bob"), company.order("carol")
    assert company.tables_of(bob) == EVENTS
    apply_grant(company.shop.target, alice)
    with company.shop.log_in(alice) as user:
        user.execute(TRICKS[trick].replace("{capability}", f'"{alice.set.capability}"'))  # type: ignore[call-overload]
        assert company.tables_of(carol) == EVENTS, "while alice is there"
        assert all("gave of their own" in words for words in company.check(alice, bob, carol))
        assert company.resync() == {}
    end_grant(company.shop.target, to_end(carol))
    end_grant(company.shop.target, to_end(alice))
    assert company.check(bob) == []
    assert company.resync() == {}
    assert {table for table in EVENTS if company.may_read(bob, table)} == EVENTS, "after alice"
    assert company.tables_of(carol) == EVENTS
    for order in (bob, carol):
        end_grant(company.shop.target, to_end(order))


def test_nothing_of_a_grantee_is_given_by_its_exact_name(company: Company) -> None:
    """It says why, and gives nothing; the name counts again as soon as the table is the application's."""
    alice = company.order("alice")
    apply_grant(company.shop.target, alice)
    with company.shop.log_in(alice) as user:
        user.execute("CREATE TABLE app.wanted (id int)")
    named = of_installation(new_order(permissions("SELECT", "app", "wanted")), company.installation)
    with pytest.raises(TargetRefused, match=f"wanted \\(there is one of {alice.login.role_name}"):
        apply_grant(company.shop.target, named)
    assert company.shop.roles(named) == 0
    with company.shop.as_dba() as dba:
        owner = sql.Identifier(f"{company.shop.database}_owner")
        dba.execute(sql.SQL("ALTER TABLE app.wanted OWNER TO {}").format(owner))
    assert [table.table for table in apply_grant(company.shop.target, named).tables] == ["wanted"]
    for order in (named, alice):
        end_grant(company.shop.target, to_end(order))


def test_a_schema_of_a_grantee_is_in_no_set(company: Company) -> None:
    """Not by name, not by pattern, and not under the star that means every schema."""
    company.wanted = permissions("SELECT", "*", "*")
    alice, bob = company.order("alice"), company.order("bob")
    before = company.tables_of(alice)
    with company.shop.log_in(alice) as user:
        user.execute('CREATE SCHEMA "*"; CREATE TABLE "*".events_2024 (id int); CREATE SCHEMA mine')
    assert company.tables_of(bob) == before
    assert company.check(alice, bob) == []
    for order in (alice, bob):
        end_grant(company.shop.target, to_end(order))
    assert company.resync() == {}


def test_what_a_capability_role_owns_is_in_no_set(new_shop: Callable[..., Shop]) -> None:
    """Up to 15 a member makes it in the role's name, by SET ROLE."""
    company = Company(new_shop(14), permissions("SELECT", "app", "events_*"))
    alice, bob = company.order("alice"), company.order("bob")
    apply_grant(company.shop.target, alice)
    with company.shop.log_in(alice) as user:
        user.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(alice.set.capability)))
        user.execute('CREATE TABLE app."events_*" (id int)')
    assert company.tables_of(bob) == EVENTS
    assert [words for words in company.check(alice, bob) if "in its permission set" in words] == []
    for order in (alice, bob):
        end_grant(company.shop.target, to_end(order))


def test_what_lies_with_a_chosen_owner_of_leftovers_is_in_no_set(company: Company) -> None:
    """What that role owns besides is as anybody's: the owner of the tables may be chosen, and is passed over then."""
    heir = f"{company.shop.database}_heir"
    with company.shop.as_dba() as dba:
        named = {"heir": sql.Identifier(heir), "option": sql.SQL("")}
        if company.shop.server.version >= 16:
            named["option"] = sql.SQL("WITH INHERIT TRUE, SET TRUE")
        dba.execute(sql.SQL("CREATE ROLE {heir}; GRANT CREATE ON SCHEMA app TO {heir}").format(**named))
        dba.execute(sql.SQL("GRANT {heir} TO jit_portal {option}").format(**named))
    for chosen in (heir, f"{company.shop.database}_owner"):
        company.shop = replace(company.shop, target=replace(company.shop.target, leftover_owner=chosen))
        alice, bob = company.order("alice"), company.order("bob")
        assert company.tables_of(alice) == EVENTS
        with company.shop.log_in(alice) as user:
            user.execute('CREATE TABLE app."events_*" (id int); CREATE TABLE app.events_mine (id int)')
        end_grant(company.shop.target, to_end(alice))
        assert company.tables_of(bob) == EVENTS
        assert company.check(bob) == []
        end_grant(company.shop.target, to_end(bob))
        with company.shop.as_dba() as dba:
            dba.execute('DROP TABLE app."events_*", app.events_mine')


def test_a_tag_on_the_owner_of_the_tables_puts_nothing_out_of_the_set(company: Company) -> None:
    """Every role with CREATEROLE may write a comment: it must not take the tables from everybody."""
    owner = sql.Identifier(f"{company.shop.database}_owner")
    with company.shop.as_dba() as dba:
        dba.execute(sql.SQL("COMMENT ON ROLE {} IS 'access-portal:x:grant:y'").format(owner))
    alice = company.order("alice")
    assert company.tables_of(alice) == EVENTS
    end_grant(company.shop.target, to_end(alice))
