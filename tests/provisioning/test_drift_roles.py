"""What the drift check sees of roles themselves, of what is given beside the owners, and of other databases."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, KnownLogin, RepairReport, Severity
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.targets import slow_to_end

ORDERS = permissions("SELECT", "app", "orders")


class Portal:
    """A portal with grants in a shop of the test's own."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.installation = shop, new_installation()
        self.capability = ORDERS.capability_role_name(self.installation.id)
        self.logins: list[KnownLogin] = []

    def grant(self, who: str = "alice") -> GrantOrder:
        order = of_installation(new_order(ORDERS, who=who), self.installation)
        receipt = apply_grant(self.shop.target, order)
        login = KnownLogin(
            order.login.grant_id, order.login.role_name, receipt.role_oid, self.capability, receipt.valid_until
        )
        self.logins.append(login)
        return as_made(order, role_oid=receipt.role_oid)

    def order(self, sets: tuple[PermissionSet, ...] = (ORDERS,), **changes: object) -> DriftOrder:
        return replace(DriftOrder(self.installation, sets, tuple(self.logins)), **changes)  # type: ignore[arg-type]

    def findings(self, **changes: object) -> tuple[DriftFinding, ...]:
        return check_drift(self.shop.target, self.order(**changes)).findings  # type: ignore[arg-type]

    def repair(self, *findings: DriftFinding, **changes: object) -> RepairReport:
        return repair(self.shop.target, self.order(**changes), findings)  # type: ignore[arg-type]

    def dba(self, *statements: str, **names: str) -> None:
        names = {
            "role": self.capability,
            "owner": f"{self.shop.database}_owner",
            "database": self.shop.database,
            **names,
        }
        with self.shop.as_dba() as conn:
            for text in statements:
                conn.execute(sql.SQL(text).format(**{k: sql.Identifier(v) for k, v in names.items()}))  # type: ignore[arg-type]

    def run(self, finding: DriftFinding, database: str = "") -> None:
        """Run a finding's SQL as the superuser would."""
        with self.shop.as_dba(database) as conn:
            conn.execute(finding.sql)  # type: ignore[call-overload]


@pytest.fixture(params=[18, 16, 14])
def portal(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Portal:
    return Portal(new_shop(request.param))


@pytest.fixture
def portal18(new_shop: Callable[..., Shop]) -> Portal:
    return Portal(new_shop(18))


ATTRIBUTES = ["LOGIN", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS", "SUPERUSER"]


def is_ours(attribute: str, version: int) -> bool:
    return attribute in {"LOGIN", "CREATEROLE"} or (attribute == "CREATEDB" and version < 16)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_is_taken_by_its_name_from_a_capability_role(portal: Portal, attribute: str) -> None:
    """Who names others besides needs a superuser's rights for that alone; what is not ours to take is not offered."""
    portal.grant()
    portal.dba(f"ALTER ROLE {{role}} {attribute}")
    [finding] = portal.findings()
    ours = is_ours(attribute, portal.shop.server.version)
    assert (finding.kind, finding.severity, finding.role) == (DriftKind.ATTRIBUTE, Severity.ALARM, portal.capability)
    assert f'ALTER ROLE "{portal.capability}" NO{attribute};' in finding.sql
    assert (finding.is_automatic, finding.is_repairable, finding.is_for_dba) == (ours, ours, not ours)
    if ours:
        assert portal.repair(finding).mended == (finding,)
        portal.dba(f"ALTER ROLE {{role}} {attribute}")
        report = resync_sets(portal.shop.target, portal.installation, [ORDERS])
        assert [str(change) for change in report.changes] == [f"took {attribute} from {portal.capability}"]
    else:
        [(_, words)] = portal.repair(finding).refused
        assert "A person has to do this" in words
        with pytest.raises(TargetRefused, match="attributes it was not given"):
            portal.grant("bob")
        portal.run(finding)
    assert portal.findings() == ()
    portal.grant("bob")


@pytest.mark.parametrize("attribute", ["CREATEROLE", "CREATEDB", "REPLICATION"])
def test_an_attribute_of_a_login_that_the_portal_may_not_take_is_not_offered(portal: Portal, attribute: str) -> None:
    login = portal.grant()
    portal.dba(f"ALTER ROLE {{login}} {attribute}", login=login.login.role_name)
    [finding] = portal.findings()
    assert (finding.grant_id, finding.is_repairable) == (
        login.login.grant_id,
        is_ours(attribute, portal.shop.server.version),
    )
    if finding.is_repairable:
        assert portal.repair(finding).mended == (finding,)
    else:
        portal.run(finding)
    assert portal.findings() == ()


def test_a_member_of_a_login_is_found_whatever_options_came_with_it(portal: Portal) -> None:
    """Up to 15 who may administer a role is a member like any other."""
    login = portal.grant()
    other = f"other_{secrets.token_hex(3)}"
    portal.dba(
        "CREATE ROLE {other}", "GRANT {login} TO {other} WITH ADMIN OPTION", other=other, login=login.login.role_name
    )
    [finding] = [finding for finding in portal.findings() if other in finding.object + finding.what]
    assert finding.kind is DriftKind.MEMBERSHIP


def test_its_sql_works_for_who_has_createrole_admin_and_the_attribute(portal: Portal) -> None:
    """On a managed service nobody is a superuser."""
    portal.grant()
    portal.dba(
        "CREATE ROLE {dba} CREATEROLE CREATEDB",
        "GRANT {role} TO {dba} WITH ADMIN OPTION",
        "ALTER ROLE {role} CREATEDB",
        dba=(dba := f"dba_{secrets.token_hex(3)}"),
    )
    [finding, *_] = [finding for finding in portal.findings() if finding.kind is DriftKind.ATTRIBUTE]
    with portal.shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(dba)))
        conn.execute(finding.sql)  # type: ignore[call-overload]
    assert [finding for finding in portal.findings() if finding.kind is DriftKind.ATTRIBUTE] == []


@pytest.mark.parametrize("with_admin", [True, False])
def test_a_membership_of_a_capability_role(portal: Portal, with_admin: bool) -> None:
    """It is taken back by itself where its grantor, or up to 15 who has CREATEROLE, is the portal."""
    portal.grant()
    other = f"other_{secrets.token_hex(3)}"
    portal.dba("CREATE ROLE {other}", other=other)
    if with_admin:
        portal.dba("GRANT {other} TO jit_portal WITH ADMIN OPTION", "SET ROLE jit_portal", other=other)
        with portal.shop.as_dba() as conn:
            conn.execute("SET ROLE jit_portal")
            conn.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(other), sql.Identifier(portal.capability)))
    else:
        portal.dba("GRANT {other} TO {role}", other=other)
    [finding] = portal.findings()
    ours = with_admin or portal.shop.server.version < 16
    assert (finding.kind, finding.is_automatic, finding.is_for_dba) == (DriftKind.MEMBERSHIP, ours, not ours)
    if ours:
        report = resync_sets(portal.shop.target, portal.installation, [ORDERS])
        assert [str(change) for change in report.changes] == [
            f"took the membership in {other} from {portal.capability}"
        ]
    else:
        portal.run(finding)
    assert portal.findings() == ()


def test_policies_and_settings_are_told(portal: Portal) -> None:
    login = portal.grant()
    portal.dba(
        "SET ROLE {owner}",
        "CREATE POLICY mine ON app.orders TO {role} USING (true)",
        "RESET ROLE",
        "ALTER ROLE {role} SET work_mem = '64MB'",
        "ALTER ROLE {role} IN DATABASE {database} SET my.thing = 'x'",
        "ALTER ROLE {login} SET log_statement = 'none'",
        login=login.login.role_name,
    )
    with portal.shop.log_in(login) as user:
        user.execute(sql.SQL("ALTER ROLE {} SET search_path = app").format(sql.Identifier(login.login.role_name)))
    found = portal.findings()
    [policy] = [finding for finding in found if finding.kind is DriftKind.POLICY]
    assert (policy.severity, policy.object, policy.is_repairable) == (Severity.NOTE, "app.orders", False)
    settings = {finding.sql: finding for finding in found if finding.kind is DriftKind.SETTING}
    assert {(finding.role, finding.severity) for finding in settings.values()} == {
        (portal.capability, Severity.NOTE),
        (login.login.role_name, Severity.WARNING),
    }
    assert len(settings) == 3, "what a person sets for themselves is theirs"
    report = portal.repair(*settings.values())
    assert [finding.what.split()[2] for finding in report.mended] == ["work_mem"]
    left = [finding for finding in portal.findings() if finding.kind is DriftKind.SETTING]
    assert {finding.what.split()[2] for finding in left if finding.is_for_dba} == {"my.thing", "log_statement"}
    for finding in left:
        portal.run(finding)
    assert [finding.kind for finding in portal.findings()] == [DriftKind.POLICY]
    portal.grant("bob")


def test_what_it_holds_in_a_database_that_the_portal_does_not_serve(portal: Portal) -> None:
    """Nobody else would look there. Where the portal gives the set as well, it is the other resource's."""
    portal.grant()
    elsewhere = f"hr_{secrets.token_hex(4)}"
    portal.dba("CREATE DATABASE {new} OWNER {owner}", "GRANT CONNECT ON DATABASE {new} TO {role}", new=elsewhere)
    owner, role = sql.Identifier(f"{portal.shop.database}_owner"), sql.Identifier(portal.capability)
    with portal.shop.as_dba(elsewhere) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA pay AUTHORIZATION {}; SET ROLE {}").format(owner, owner))
        conn.execute(sql.SQL("CREATE TABLE pay.roll (id int); GRANT USAGE ON SCHEMA pay TO {}").format(role))
        conn.execute(sql.SQL("GRANT SELECT ON pay.roll TO {}").format(role))
    known = {portal.capability: frozenset({portal.shop.database})}
    both = {portal.capability: frozenset({portal.shop.database, elsewhere})}
    assert portal.findings(databases=both) == ()
    held, connect = sorted(portal.findings(databases=known), key=lambda finding: finding.is_automatic)
    assert (held.severity, held.object, held.is_repairable) == (Severity.ALARM, f"database {elsewhere}", True)
    assert "2 objects" in held.what
    assert connect.object == f"database {elsewhere}"
    portal.repair(held, connect, databases=known)
    assert portal.findings(databases=known) == ()
    portal.dba("DROP DATABASE {elsewhere}", elsewhere=elsewhere)


KINDS = """
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE app.mood AS ENUM ('good');
SELECT lo_create(0);
"""
DIRECT = [
    ("GRANT UPDATE (item) ON app.orders TO {login}", "app.orders", True),
    ("GRANT USAGE ON SEQUENCE app.free_numbers TO {login}", "app.free_numbers", True),
    ("GRANT CREATE ON SCHEMA app TO {login}", "app", True),
    ("GRANT CREATE ON DATABASE {database} TO {login}", "database ", True),
    ("GRANT EXECUTE ON FUNCTION app.f TO {login}", "routine app.f()", True),
    ("GRANT USAGE ON TYPE app.mood TO {login}", "type app.mood", True),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA app GRANT SELECT ON TABLES TO {login}",
        "new tables of",
        True,
    ),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON TYPES TO {login}", "new types of", True),
    ("GRANT USAGE ON LANGUAGE plpgsql TO {login}", "language plpgsql", False),
    ("GRANT CREATE ON TABLESPACE pg_default TO {login}", "tablespace pg_default", False),
    ("GRANT SELECT ON pg_authid TO {login}", "pg_catalog.pg_authid", False),
]


@pytest.mark.parametrize(("words", "name", "ours"), DIRECT, ids=[words.split(" TO ")[0] for words, *_ in DIRECT])
def test_whatever_was_granted_directly_to_a_login(portal: Portal, words: str, name: str, ours: bool) -> None:
    login = portal.grant()
    portal.dba("SET ROLE {owner}", KINDS)
    portal.dba(words, login=login.login.role_name)
    [finding] = portal.findings()
    assert (finding.kind, finding.severity, finding.grant_id) == (
        DriftKind.DIRECT,
        Severity.ALARM,
        login.login.grant_id,
    )
    assert finding.object.startswith(name)
    assert (finding.is_automatic, finding.is_for_dba) == (ours, not ours)
    if ours:
        assert portal.repair(finding).mended == (finding,)
        portal.dba(words, login=login.login.role_name)
    portal.run(finding)
    assert portal.findings() == ()


def test_what_a_colleague_gave_of_their_own_is_taken_back_in_their_name(portal: Portal) -> None:
    """To a login and to everybody's capability role. What is temporary goes with its session."""
    alice, bob = portal.grant("alice"), portal.grant("bob")
    portal.dba("CREATE SCHEMA play", "GRANT ALL ON SCHEMA play TO PUBLIC")
    given = (
        "CREATE TABLE play.mine (id int); GRANT SELECT ON play.mine TO {bob}, {role}",
        "CREATE TEMP TABLE shown (id serial); GRANT SELECT ON shown TO {bob}, {role}",
        "CREATE FUNCTION play.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION play.f TO {role}",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}",
    )
    with portal.shop.log_in(alice) as user:
        names = {"bob": sql.Identifier(bob.login.role_name), "role": sql.Identifier(portal.capability)}
        for words in given:
            user.execute(sql.SQL(words).format(**names))  # type: ignore[arg-type]
        found = portal.findings()
        assert {finding.kind for finding in found} == {DriftKind.DIRECT, DriftKind.PRIVILEGE}
        assert len(found) == 6
        of_the_session = {finding for finding in found if "pg_temp" in finding.object}
        assert {finding.is_repairable for finding in of_the_session} == {False}
        report = portal.repair(*(set(found) - of_the_session))
        assert report.refused == ()
        assert set(report.mended) == set(found) - of_the_session
        user.execute("SELECT FROM play.mine, shown")
    assert portal.findings() == ()
    with portal.shop.as_dba() as dba:
        inside = "SELECT 1 FROM pg_auth_members WHERE roleid = %s::regrole AND member = 'jit_portal'::regrole AND"
        option = " to_jsonb(pg_auth_members) ->> 'set_option' = 'true'" if portal.shop.server.version >= 16 else " true"
        assert dba.execute(inside + option, [alice.login.role_name]).fetchall() == [], "it stepped in for a moment"


def test_what_another_role_passed_on_is_said_with_sql_that_works(portal: Portal) -> None:
    """A REVOKE by the owner of a function leaves what somebody else gave on it."""
    portal.grant()
    helper = f"helper_{secrets.token_hex(3)}"
    portal.dba("SET ROLE {owner}", KINDS, "REVOKE ALL ON FUNCTION app.f FROM PUBLIC")
    portal.dba(
        "CREATE ROLE {helper}",
        "GRANT USAGE ON SCHEMA app TO {helper}",
        "GRANT EXECUTE ON FUNCTION app.f TO {helper} WITH GRANT OPTION",
        "SET ROLE {helper}",
        "GRANT EXECUTE ON FUNCTION app.f TO {role}",
        helper=helper,
    )
    found = {finding.kind: finding for finding in portal.findings()}
    assert set(found) == {DriftKind.PRIVILEGE, DriftKind.GRANTOR}
    assert portal.repair(*found.values()).mended == (), "nothing is called mended that is still so"
    portal.run(found[DriftKind.GRANTOR])
    assert portal.findings() == ()


def test_what_a_login_passed_on_to_a_set_is_taken_back_in_its_name(portal: Portal) -> None:
    """A DBA had given it that with the right to pass it on."""
    alice = portal.grant()
    portal.dba("GRANT SELECT ON app.customers TO {login} WITH GRANT OPTION", login=alice.login.role_name)
    with portal.shop.log_in(alice) as user:
        user.execute(sql.SQL("GRANT SELECT ON app.customers TO {}").format(sql.Identifier(portal.capability)))
    found = portal.findings()
    grantor = [finding for finding in found if finding.kind is DriftKind.GRANTOR]
    assert [finding.is_automatic for finding in grantor] == [True]
    report = portal.repair(*found)
    assert report.refused == ()
    assert portal.findings() == ()


def test_a_capability_role_without_members_is_looked_at_too(portal: Portal) -> None:
    """Nobody gets its new tables, and what it was given besides is too much before anybody becomes its member."""
    order = portal.grant()
    end_grant(portal.shop.target, to_end(order))
    portal.logins = []
    portal.dba(
        "GRANT SELECT ON secret.salaries TO {role}",
        "REVOKE SELECT ON app.orders FROM {role}",
        "ALTER ROLE {role} LOGIN",
    )
    assert [finding.kind for finding in portal.findings(sets=())] == [DriftKind.ATTRIBUTE]
    found = portal.findings(sets=(), idle_sets=(ORDERS,))
    assert sorted((finding.kind, finding.object) for finding in found) == [
        (DriftKind.ATTRIBUTE, portal.capability),
        (DriftKind.PRIVILEGE, "secret.salaries"),
    ]
    report = portal.repair(*found, sets=(), idle_sets=(ORDERS,))
    assert set(report.mended) == set(found)
    portal.dba("GRANT SELECT ON secret.salaries TO {role}")
    never = permissions("SELECT", "app", "nothing")
    resynced = resync_sets(portal.shop.target, portal.installation, [], [ORDERS, never])
    [change] = resynced.changes
    assert (change.what, change.object, change.role) == ("revoked SELECT", "secret.salaries", portal.capability)
    assert resynced.refused == {}
    with portal.shop.as_dba() as dba:
        role = never.capability_role_name(portal.installation.id)
        assert dba.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchall() == []


def test_too_much_is_taken_back_also_where_the_set_matches_nothing_any_more(portal: Portal) -> None:
    portal.grant()
    portal.dba("GRANT SELECT ON secret.salaries TO {role}", "ALTER TABLE app.orders RENAME TO gone")
    report = resync_sets(portal.shop.target, portal.installation, [ORDERS])
    assert "matches this authorization" in report.refused[portal.capability]
    assert ("revoked SELECT", "secret.salaries") in {(change.what, change.object) for change in report.changes}


def test_a_session_that_takes_its_time_to_end_is_waited_for(portal18: Portal) -> None:
    """A signal is no proof: until the process has gone it is a session that outlived its login."""
    order = portal18.grant()
    user = portal18.shop.log_in(order)
    portal18.dba("DROP ROLE {login}", login=order.login.role_name)
    portal18.logins = []
    oids = (order.login.role_oid,)
    [finding] = portal18.findings(former_oids=oids)
    with slow_to_end(user.info.backend_pid):
        assert portal18.repair(finding, former_oids=oids).mended == (finding,)
    assert portal18.findings(former_oids=oids) == ()
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")


def test_a_lasting_refusal_is_not_said_to_come_right_by_itself(portal: Portal) -> None:
    """It is told with the server's code."""
    portal.grant()
    helper = f"helper_{secrets.token_hex(3)}"
    portal.dba(
        "CREATE ROLE {helper}",
        "GRANT USAGE ON SCHEMA app TO {helper}",
        "GRANT SELECT ON app.customers TO {helper} WITH GRANT OPTION",
        "SET ROLE {helper}",
        "GRANT SELECT ON app.customers TO {role}",
        helper=helper,
    )
    [words] = resync_sets(portal.shop.target, portal.installation, [ORDERS]).refused.values()
    assert "by itself" not in words
