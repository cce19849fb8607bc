"""What was passed on in a capability role's name gives nobody anything once somebody's grant of the set is over."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftChange, DriftFinding, DriftKind, DriftOrder
from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from accessmgmt.provisioning.statements import advice
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.provisioning.dba import do_as_told

ORDERS = permissions("SELECT", "app", "orders")
READ = "SELECT has_table_privilege(%s, %s, 'SELECT')"


@dataclass
class House:
    """A shop with a grant, and a stranger, whom the grant's person gives what a DBA let the set pass on."""

    shop: Shop
    alice: GrantOrder
    friend: str

    @property
    def capability(self) -> str:
        return self.alice.set.capability

    def grant(self, who: str, permissions: PermissionSet = ORDERS) -> GrantOrder:
        order = of_installation(new_order(permissions, who=who), self.alice.login.installation)
        receipt = apply_grant(self.shop.target, order)
        return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)

    def dba(self, *statements: str, database: str = "") -> None:
        with self.shop.as_dba(database) as conn:
            for text in statements:
                conn.execute(self._named(text))

    def pass_on(self, what: str, to: str = "") -> None:
        """Let a DBA give it to the set WITH GRANT OPTION, and Alice pass it on."""
        self.dba(f"GRANT {what} TO {{set}} WITH GRANT OPTION")
        with self.shop.log_in(self.alice) as user:
            user.execute(self._named(f"GRANT {what} TO {to or '{friend}'}"))

    def passed_on(self, database: str = "") -> list[str]:
        """Whose privileges have the capability role as their grantor, by the server's own lists."""
        with self.shop.as_dba(database) as conn:
            rows = conn.execute(
                "SELECT DISTINCT coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC') FROM ("
                " SELECT relacl FROM pg_class UNION ALL SELECT attacl FROM pg_attribute UNION ALL"
                " SELECT nspacl FROM pg_namespace UNION ALL SELECT proacl FROM pg_proc UNION ALL"
                " SELECT typacl FROM pg_type UNION ALL SELECT lanacl FROM pg_language UNION ALL"
                " SELECT fdwacl FROM pg_foreign_data_wrapper UNION ALL SELECT srvacl FROM pg_foreign_server UNION ALL"
                " SELECT lomacl FROM pg_largeobject_metadata UNION ALL SELECT datacl FROM pg_database UNION ALL"
                " SELECT spcacl FROM pg_tablespace) o (acl), aclexplode(o.acl) x"
                " WHERE x.grantor = %s::regrole ORDER BY 1",
                [self.capability],
            ).fetchall()
        return [name for (name,) in rows]

    def may_read(self, role: str, table: str = "app.orders") -> bool:
        with self.shop.as_dba() as conn:
            return conn.execute(READ, [role, table]).fetchone() == (True,)

    def _named(self, text: str) -> sql.Composed:
        names = {
            "set": self.capability,
            "friend": self.friend,
            "alice": self.alice.login.role_name,
            "database": self.shop.database,
        }
        return sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()})  # type: ignore[arg-type]

    def findings(self, **changes: object) -> list[DriftFinding]:
        found = check_drift(self.shop.target, self.drift_order(**changes)).findings
        return [finding for finding in found if finding.kind is DriftKind.PASSED_ON]

    def drift_order(self, **changes: object) -> DriftOrder:
        return replace(DriftOrder(self.alice.login.installation, (), ()), **changes)  # type: ignore[arg-type]


def house_on(shop: Shop) -> House:
    house = House(shop, of_installation(new_order(ORDERS), new_installation()), f"friend_{secrets.token_hex(4)}")
    house.alice = house.grant("alice")
    house.dba("CREATE ROLE {friend}", "GRANT USAGE ON SCHEMA app TO {friend}")
    return house


@pytest.fixture(params=[14, 16, 18])
def house(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> House:
    return house_on(new_shop(request.param))


ANYTHING = [
    "SELECT ON app.orders",
    "SELECT (item) ON app.orders",
    "DELETE ON app.customers",
    "USAGE ON SEQUENCE app.free_numbers",
    "USAGE ON SCHEMA app",
    "TEMPORARY ON DATABASE {database}",
    "EXECUTE ON FUNCTION app.one()",
    "USAGE ON TYPE app.mood",
    "USAGE ON LANGUAGE plpgsql",
    "USAGE ON FOREIGN DATA WRAPPER shop_wrapper",
    "USAGE ON FOREIGN SERVER shop_server",
    "SELECT ON LARGE OBJECT 4711",
    "CREATE ON TABLESPACE pg_default",
]
MAKE = (
    "CREATE FUNCTION app.one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE app.mood AS ENUM ('good')",
    "CREATE FOREIGN DATA WRAPPER shop_wrapper",
    "CREATE SERVER shop_server FOREIGN DATA WRAPPER shop_wrapper",
    "SELECT lo_create(4711)",
)


def test_whatever_the_last_member_passed_on_ends_with_the_grant(house: House) -> None:
    house.dba(*MAKE)
    for what in ANYTHING:
        house.pass_on(what)
    assert house.passed_on() == [house.friend]

    receipt = end_grant(house.shop.target, to_end(house.alice))

    assert house.passed_on() == []
    lost = [note for note in receipt.notes if f"{house.friend} lost" in note]
    assert len(lost) == len(ANYTHING) - 1, "the column's privilege is told with its table's"
    assert f"{house.shop.database}: {house.friend} lost SELECT on table app.orders, which" in " ".join(lost)


def test_what_everybody_got_ends_with_the_grant(house: House) -> None:
    house.pass_on("SELECT ON app.orders", to="PUBLIC")
    [note] = end_grant(house.shop.target, to_end(house.alice)).notes
    assert "PUBLIC lost SELECT on table app.orders" in note
    assert not house.may_read(house.friend)


def test_it_goes_with_anybody_of_the_set_and_the_others_keep_theirs(house: House) -> None:
    """Nobody can tell who passed it on, and no set says that anybody may."""
    bob = house.grant("bob")
    house.pass_on("SELECT ON app.orders")
    [note] = end_grant(house.shop.target, to_end(bob)).notes
    assert f"{house.friend} lost SELECT" in note
    assert not house.may_read(house.friend)
    with house.shop.log_in(house.alice) as user:
        user.execute("SELECT FROM app.orders")
        user.execute(sql.SQL("GRANT SELECT ON app.orders TO {}").format(sql.Identifier(house.friend)))
    assert not house.may_read(house.friend), "it has no right to pass it on any more"
    assert end_grant(house.shop.target, to_end(house.alice)).notes == ()


def test_a_colleagues_set_loses_what_it_got_and_keeps_its_own(house: House) -> None:
    bob = house.grant("bob", permissions("SELECT", "app", "customers"))
    house.pass_on("SELECT ON app.orders", to=bob.set.capability)
    end_grant(house.shop.target, to_end(house.alice))
    assert not house.may_read(bob.set.capability)
    with house.shop.log_in(bob) as user:
        user.execute("SELECT FROM app.customers")
    assert end_grant(house.shop.target, to_end(bob)).notes == ()


def test_whom_it_let_into_a_group_ends_with_the_grant(house: House) -> None:
    """From 16 on a member of a role with ADMIN OPTION gives memberships in that role's name."""
    group = f"group_{secrets.token_hex(4)}"
    house.dba(f"CREATE ROLE {group}", f"GRANT {group} TO {{set}} WITH ADMIN OPTION")
    with house.shop.log_in(house.alice) as user:
        user.execute(house._named(f"GRANT {group} TO {{friend}}"))
    receipt = end_grant(house.shop.target, to_end(house.alice))
    assert f"made {house.friend} a member of {group}" in " ".join(receipt.notes)
    with house.shop.as_dba() as conn:
        query = "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = %s::regrole"
        assert conn.execute(query, [group]).fetchall() == [(house.capability,)]


def test_it_ends_also_where_a_dba_dropped_the_login(house: House) -> None:
    house.pass_on("SELECT ON app.orders")
    house.dba("DROP ROLE {alice}")
    receipt = end_grant(house.shop.target, to_end(house.alice))
    assert receipt.role_was_absent
    assert f"{house.friend} lost SELECT" in " ".join(receipt.notes)
    assert house.passed_on() == []


def test_it_ends_at_once_although_the_login_cannot_be_dropped_yet(house: House) -> None:
    """An ending that waits for an admin does not leave to others what its person passed on."""
    house.pass_on("SELECT ON app.orders")
    house.dba("CREATE TABLE app.hers (id int)", "ALTER TABLE app.hers OWNER TO {alice}")
    keeping = replace(house.shop.target, leftovers="keep")
    with pytest.raises(TargetRefused) as refusal:
        end_grant(keeping, to_end(house.alice))
    assert f"{house.friend} lost SELECT" in " ".join(refusal.value.notes)
    assert not house.may_read(house.friend)
    house.dba("DROP TABLE app.hers")
    end_grant(keeping, to_end(house.alice))


def test_an_ending_is_not_finished_while_somebody_holds_the_capability_role(house: House) -> None:
    """Up to 15 nobody can hold it up so. Her own access is cut at once all the same."""
    house.pass_on("CREATE ON TABLESPACE pg_default")
    user, holding = house.shop.log_in(house.alice), house.shop.as_dba()
    try:
        holding.autocommit = False
        holding.execute(house._named("GRANT {set} TO {friend}"))
        if house.shop.server.version < 16:
            assert f"{house.friend} lost CREATE" in " ".join(end_grant(house.shop.target, to_end(house.alice)).notes)
            return
        with pytest.raises(TargetUnavailable) as refusal:
            end_grant(house.shop.target, to_end(house.alice))
        assert f"pg_terminate_backend({holding.info.backend_pid})" in refusal.value.todo
        assert house.passed_on() == [house.friend]
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            house.shop.log_in(house.alice)
        holding.rollback()
        assert f"{house.friend} lost CREATE" in " ".join(end_grant(house.shop.target, to_end(house.alice)).notes)
        assert house.passed_on() == []
    finally:
        holding.close()
        user.close()


def test_a_colleague_who_holds_it_up_is_cut(house: House) -> None:
    """An open GRANT on the same table keeps what was passed on before from being taken back."""
    bob = house.grant("bob")
    house.pass_on("SELECT ON app.orders")
    with house.shop.log_in(bob) as user:
        user.autocommit = False
        user.execute(sql.SQL("GRANT SELECT ON app.orders TO PUBLIC"))
        receipt = end_grant(house.shop.target, to_end(house.alice))
        assert house.passed_on() == []
        with pytest.raises(psycopg.OperationalError):
            user.execute("COMMIT")
    assert "kept this ending waiting" in " ".join(receipt.notes)
    end_grant(house.shop.target, to_end(bob))


@proves(advice.take_back_anew)
@pytest.mark.parametrize("option", ["SELECT", "GRANT OPTION FOR SELECT"])
def test_what_only_a_superuser_takes_back_keeps_the_ending_open(house: House, option: str) -> None:
    """Given on a column by a privilege on the whole table, which the set cannot pass on any more."""
    house.dba("CREATE TABLE app.theirs (id int)")
    house.pass_on("SELECT ON app.theirs")
    with house.shop.log_in(house.alice) as user:
        user.execute(sql.SQL("GRANT SELECT (id) ON app.theirs TO {}").format(sql.Identifier(house.friend)))
    house.dba("REVOKE " + option + " ON app.theirs FROM {set} CASCADE")
    assert house.passed_on() == [house.friend]
    with pytest.raises(TargetRefused) as refusal:
        end_grant(house.shop.target, to_end(house.alice))
    assert house.shop.roles(house.alice) == 0
    assert f"SELECT on table app.theirs to {house.friend}" in refusal.value.why
    do_as_told(house.shop, refusal.value.todo)
    assert house.passed_on() == []
    end_grant(house.shop.target, to_end(house.alice))
    assert house.may_read(house.capability, "app.theirs") == (option != "SELECT")


def test_one_sets_trouble_is_not_another_grants(house: House) -> None:
    bob = house.grant("bob", permissions("SELECT", "app", "customers"))
    house.pass_on("SELECT ON app.orders")
    outcomes = end_grants(house.shop.target, [to_end(house.alice), to_end(bob)])
    assert [isinstance(outcome, TargetError) for outcome in outcomes] == [False, False]
    assert [bool(outcome.notes) for outcome in outcomes] == [True, False]


def test_the_drift_check_finds_it_in_a_set_that_nobody_has_and_takes_it_back(house: House) -> None:
    """After the last ending: a superuser acts as the role."""
    end_grant(house.shop.target, to_end(house.alice))
    house.dba(
        "GRANT SELECT ON app.orders TO {set} WITH GRANT OPTION",
        "SET ROLE {set}",
        "GRANT SELECT ON app.orders TO {friend} WITH GRANT OPTION",
        "SET ROLE {friend}",
        "GRANT SELECT (item) ON app.orders TO PUBLIC",
    )
    found = house.findings()
    assert len(found) == 2
    assert f"{house.friend} has SELECT on it: {house.capability} passed that on" in found[0].what + found[1].what
    assert {finding.is_automatic for finding in found} == {True}
    report = repair(house.shop.target, house.drift_order(), found)
    assert (set(report.mended), report.refused) == (set(found), ())
    assert house.findings() == []
    assert house.passed_on() == []
    assert not house.may_read(house.friend)


def test_the_drift_check_finds_it_in_another_database(house: House, new_shop: Callable[..., Shop]) -> None:
    other = new_shop(house.shop.server.version)
    house.dba(
        "GRANT USAGE ON SCHEMA app TO {set}",
        "GRANT SELECT ON app.orders TO {set} WITH GRANT OPTION",
        "SET ROLE {set}",
        "GRANT SELECT ON app.orders TO PUBLIC",
        database=other.database,
    )
    order = {"databases": {house.capability: frozenset({house.shop.database})}}
    [finding] = house.findings(**order)
    assert finding.object == f"database {other.database}: app.orders"
    assert repair(house.shop.target, house.drift_order(**order), [finding]).mended == (finding,)
    assert house.findings(**order) == []
    assert house.passed_on(other.database) == []
    end_grant(house.shop.target, to_end(house.alice))


def test_an_idle_set_is_brought_in_order_with_all_that_was_passed_on(house: House) -> None:
    end_grant(house.shop.target, to_end(house.alice))
    house.dba(
        "GRANT SELECT ON app.orders TO {set} WITH GRANT OPTION",
        "SET ROLE {set}",
        "GRANT SELECT ON app.orders TO {friend}",
    )
    changes = resync_sets(house.shop.target, house.alice.login.installation, [], [ORDERS]).changes
    words = f"revoked SELECT, which {house.capability} had passed on,"
    assert DriftChange(house.friend, "table app.orders", words, is_taken=True) in changes
    assert house.passed_on() == []
