"""The drift check finds what was changed by hand, says how to mend it, mends it, and touches nothing of others."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.drift import (
    DriftFinding,
    DriftKind,
    DriftOrder,
    KnownLogin,
    Severity,
    finding_from_json,
)
from accessmgmt.domain.names import new_login_role_name
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import ApplyReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions

SERVERS = [(18, False), (18, True), (16, False), (15, False), (14, False)]


@pytest.fixture(params=SERVERS, ids=lambda p: f"{p[0]}-{'superuser' if p[1] else 'recipe'}")
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    version, is_superuser = request.param
    return new_shop(version, is_superuser=is_superuser)


@pytest.fixture
def shop18(new_shop: Callable[..., Shop]) -> Shop:
    return new_shop(18)


class Portal:
    """What a portal of its own installation has granted in a shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.installation = new_installation()
        self.held: list[tuple[GrantOrder, ApplyReceipt]] = []

    def grant(self, wanted: PermissionSet | None = None) -> GrantOrder:
        order = of_installation(new_order(wanted), self.installation)
        self.held.append((order, apply_grant(self.shop.target, order)))
        return order

    @property
    def wanted(self) -> DriftOrder:
        return DriftOrder(
            installation=self.installation,
            permission_sets=tuple(dict.fromkeys(order.set.permissions for order, _ in self.held)),
            logins=tuple(
                KnownLogin(
                    order.login.grant_id,
                    order.login.role_name,
                    receipt.role_oid,
                    order.set.capability,
                    receipt.valid_until,
                )
                for order, receipt in self.held
            ),
        )

    def findings(self, **changes: object) -> tuple[DriftFinding, ...]:
        wanted = replace(self.wanted, **changes)  # type: ignore[arg-type]
        return check_drift(self.shop.target, wanted).findings

    def repair_all(self) -> None:
        report = repair(self.shop.target, self.wanted, self.findings())
        assert report.refused == ()
        assert self.findings() == ()

    def dba(self, *statements: str, **names: str) -> None:
        with self.shop.as_dba() as conn:
            for text in statements:
                named = {key: sql.Identifier(value) for key, value in names.items()}
                conn.execute(sql.SQL(text).format(**named))  # type: ignore[arg-type]


def only(findings: tuple[DriftFinding, ...], kind: DriftKind) -> DriftFinding:
    assert [finding.kind for finding in findings] == [kind]
    return findings[0]


def test_nothing_differs_after_an_apply(shop: Shop) -> None:
    portal = Portal(shop)
    portal.grant(permissions("SELECT,INSERT", "app", "*"))
    portal.grant(permissions("SELECT", "app", "orders,events_*"))
    portal.grant(permissions("SELECT", "app", "orders,events_*"))
    report = check_drift(shop.target, portal.wanted)
    assert report.findings == ()
    assert (report.login_count, report.relation_count) == (3, 10 + 3)
    assert report.checked_at <= datetime.now(UTC)


def test_privileges_changed_by_hand_are_found_and_mended(shop: Shop) -> None:
    portal = Portal(shop)
    order = portal.grant(permissions("SELECT,INSERT", "app", "orders,customers,events_*"))
    role = order.set.capability
    portal.dba(
        "REVOKE INSERT ON app.orders FROM {role}",
        "GRANT UPDATE ON app.customers TO {role}",
        "GRANT SELECT ON app.events_2024 TO {role} WITH GRANT OPTION",
        "GRANT SELECT (id) ON app.events_2025 TO {role}",
        "GRANT SELECT ON secret.salaries TO {role}",
        "REVOKE USAGE ON SEQUENCE app.orders_id_seq FROM {role}",
        "GRANT USAGE ON SCHEMA secret TO {role}",
        "GRANT CREATE ON SCHEMA app TO {role}",
        role=role,
    )
    found = {finding.object: finding for finding in portal.findings()}
    assert set(found) == {
        "app.orders",
        "app.customers",
        "app.events_2024",
        "app.events_2025",
        "secret.salaries",
        "app.orders_id_seq",
        "secret",
        "app",
    }
    assert {f.kind for f in found.values()} == {DriftKind.PRIVILEGE}
    assert "lacks INSERT" in found["app.orders"].what
    assert found["app.orders"].severity is Severity.WARNING
    assert "UPDATE" in found["app.customers"].what
    assert found["app.customers"].severity is Severity.ALARM
    assert "pass on SELECT" in found["app.events_2024"].what
    assert "single columns" in found["app.events_2025"].what
    assert found["secret.salaries"].sql.count("REVOKE ALL ON TABLE secret.salaries")
    for finding in found.values():
        assert finding_from_json(finding.as_json()) == finding
        assert finding.is_automatic
    portal.repair_all()


def test_the_sql_that_is_shown_mends_it(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT,INSERT", "app", "orders,customers"))
    role = order.set.capability
    portal.dba("REVOKE ALL ON app.orders FROM {role}", "GRANT DELETE ON app.customers TO {role}", role=role)
    portal.dba("ALTER ROLE {role} VALID UNTIL 'infinity' CREATEDB", role=order.login.role_name)
    with shop18.as_dba() as conn:
        for finding in portal.findings():
            conn.execute(finding.sql)  # type: ignore[call-overload]
    assert portal.findings() == ()


def test_members_given_and_taken_by_hand(shop: Shop) -> None:
    portal = Portal(shop)
    one, two = (
        portal.grant(permissions("SELECT", "app", "orders")),
        portal.grant(permissions("SELECT", "app", "orders")),
    )
    role = one.set.capability
    stranger, other = f"stranger_{secrets.token_hex(3)}", f"other_{secrets.token_hex(3)}"
    by = "" if shop.target.username == "postgres" or shop.server.version < 16 else " GRANTED BY jit_portal"
    portal.dba("REVOKE {role} FROM {one}" + by, role=role, one=one.login.role_name)
    portal.dba(
        "CREATE ROLE {stranger}",
        "CREATE ROLE {other}",
        "GRANT {other} TO {two}",
        "GRANT {role} TO {stranger}",
        role=role,
        stranger=stranger,
        other=other,
        two=two.login.role_name,
    )
    found = portal.findings()
    assert {f.kind for f in found} == {DriftKind.MEMBERSHIP}
    whats = {f.object: f for f in found}
    assert set(whats) == {one.login.role_name, two.login.role_name, role}
    assert whats[one.login.role_name].severity is Severity.WARNING
    assert other in whats[two.login.role_name].what
    assert stranger in whats[role].what
    if shop.target.username == "postgres":
        portal.repair_all()
        return
    # What a superuser gave away, a plain admin role may not take back from 16 on: it is said, and the rest is mended.
    report = repair(shop.target, portal.wanted, found)
    assert whats[one.login.role_name] in report.mended
    assert all(words for _, words in report.refused)


def test_attributes_changed_by_hand(shop: Shop) -> None:
    portal = Portal(shop)
    longer, shorter, shut, mighty = (portal.grant(permissions("SELECT", "app", "orders")) for _ in range(4))
    portal.dba("ALTER ROLE {role} VALID UNTIL 'infinity'", role=longer.login.role_name)
    portal.dba("ALTER ROLE {role} VALID UNTIL '2020-01-01'", role=shorter.login.role_name)
    portal.dba("ALTER ROLE {role} NOLOGIN", role=shut.login.role_name)
    portal.dba("ALTER ROLE {role} CREATEDB NOINHERIT", role=mighty.login.role_name)
    found = portal.findings()
    by_role: dict[str, list[DriftFinding]] = {}
    for finding in found:
        assert finding.kind is DriftKind.ATTRIBUTE
        by_role.setdefault(finding.role, []).append(finding)
    assert [(f.severity, f.is_automatic) for f in by_role[longer.login.role_name]] == [(Severity.ALARM, True)]
    assert [(f.severity, f.is_automatic) for f in by_role[shorter.login.role_name]] == [(Severity.WARNING, False)]
    assert [(f.severity, f.is_automatic) for f in by_role[shut.login.role_name]] == [(Severity.WARNING, False)]
    assert len(by_role[mighty.login.role_name]) == 2
    automatic = [f for f in found if f.is_automatic]
    report = repair(shop.target, portal.wanted, automatic)
    # Only a role with CREATEDB of its own may take CREATEDB away (16 and later).
    assert {f.role for f, _ in report.refused} <= {mighty.login.role_name}
    left = {f.role for f in portal.findings()} - {mighty.login.role_name}
    assert left == {shorter.login.role_name, shut.login.role_name}


def test_what_was_granted_straight_to_a_login(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    with shop18.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop18.database}_owner")))
        conn.execute(sql.SQL("GRANT UPDATE ON app.orders TO {}").format(sql.Identifier(order.login.role_name)))
    finding = only(portal.findings(), DriftKind.DIRECT)
    assert (finding.object, finding.severity) == ("app.orders", Severity.ALARM)
    portal.repair_all()


def test_a_renamed_login_gets_its_name_back(shop: Shop) -> None:
    portal = Portal(shop)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    portal.dba("ALTER ROLE {role} RENAME TO {new}", role=order.login.role_name, new=f"x_{secrets.token_hex(4)}")
    assert "renamed" in only(portal.findings(), DriftKind.ATTRIBUTE).what
    portal.repair_all()
    shop.log_in(order).close()


def test_orphans_are_found_and_dropped_only_when_asked(shop: Shop) -> None:
    portal = Portal(shop)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    held, portal.held = portal.held, []
    finding = only(portal.findings(), DriftKind.ORPHAN)
    assert (finding.severity, finding.is_automatic, finding.grant_id) == (Severity.ALARM, False, order.login.grant_id)
    assert portal.findings(other_roles=frozenset({order.login.role_name})) == ()
    user = shop.log_in(order)
    report = repair(shop.target, portal.wanted, [finding])
    assert report.mended == (finding,)
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    assert shop.roles(order) == 0
    assert repair(shop.target, portal.wanted, [finding]).mended == (), "the second time there is nothing to do"
    assert held


def test_roles_of_others_are_never_touched(shop18: Shop) -> None:
    """Another installation's login, one without a tag, and one that took our grant's name."""
    portal, other = Portal(shop18), Portal(shop18)
    theirs = other.grant(permissions("SELECT", "app", "orders"))
    nobodys = new_login_role_name("nobody@example.com")
    portal.dba("CREATE ROLE {role} LOGIN", role=nobodys)
    mine = portal.grant(permissions("SELECT", "app", "orders"))
    portal.dba("DROP ROLE {role}", "CREATE ROLE {role} LOGIN SUPERUSER", role=mine.login.role_name)
    finding = only(portal.findings(), DriftKind.FOREIGN)
    assert (finding.object, finding.sql, finding.is_automatic) == (mine.login.role_name, "", False)
    report = repair(shop18.target, portal.wanted, [finding])
    assert report.mended == ()
    with shop18.as_dba() as conn:
        rows = conn.execute(
            "SELECT count(*) FILTER (WHERE rolcanlogin), count(*) FILTER (WHERE rolsuper) FROM pg_roles"
            " WHERE rolname = ANY (%s)",
            [[theirs.login.role_name, nobodys, mine.login.role_name]],
        ).fetchall()
    assert rows == [(3, 1)]
    portal.dba("DROP ROLE {role}", role=mine.login.role_name)


def test_a_vanished_role_is_not_made_again(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    portal.dba("DROP ROLE {role}", role=order.login.role_name)
    finding = only(portal.findings(), DriftKind.VANISHED)
    assert finding.grant_id == order.login.grant_id
    repair(shop18.target, portal.wanted, [finding])
    assert shop18.roles(order) == 0


def test_a_vanished_capability_role_is_made_again(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    role = order.set.capability
    portal.dba("DROP OWNED BY {role}", "DROP ROLE {role}", role=role)
    assert {f.kind for f in portal.findings()} == {DriftKind.PRIVILEGE, DriftKind.MEMBERSHIP}
    repair(shop18.target, portal.wanted, portal.findings())
    portal.repair_all()
    with shop18.log_in(order) as user:
        user.execute("SELECT * FROM app.orders")


def test_what_another_grantor_gave_is_an_alarm_for_a_dba(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    role = order.set.capability
    helper = f"helper_{secrets.token_hex(3)}"
    portal.dba(
        "CREATE ROLE {helper}",
        "GRANT USAGE ON SCHEMA app TO {helper}",
        "GRANT SELECT ON app.customers TO {helper} WITH GRANT OPTION",
        "SET ROLE {helper}",
        "GRANT SELECT ON app.customers TO {role}",
        "RESET ROLE",
        role=role,
        helper=helper,
    )
    found = {f.kind: f for f in portal.findings()}
    assert set(found) == {DriftKind.PRIVILEGE, DriftKind.GRANTOR}
    report = repair(shop18.target, portal.wanted, tuple(found.values()))
    assert {f.kind for f, _ in report.refused} == {DriftKind.PRIVILEGE, DriftKind.GRANTOR}
    with shop18.as_dba() as conn:
        conn.execute(found[DriftKind.GRANTOR].sql)  # type: ignore[call-overload]
    assert portal.findings() == ()


@pytest.mark.parametrize("version", [14, 15, 18])
def test_what_a_capability_role_owns_is_handed_over(new_shop: Callable[..., Shop], version: int) -> None:
    """Up to 15 a member may SET ROLE to it, and what it then makes belongs to everybody with the same set."""
    shop = new_shop(version)
    portal = Portal(shop)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    role = order.set.capability
    portal.dba("CREATE SCHEMA play", "GRANT ALL ON SCHEMA play TO PUBLIC")
    with shop.log_in(order) as user:
        if version < 16:
            user.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        user.execute("CREATE TABLE play.mine AS SELECT 42 AS answer")
        user.execute("CREATE FUNCTION play.root() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'")
    if version >= 16:
        portal.dba("ALTER TABLE play.mine OWNER TO {role}", "ALTER FUNCTION play.root OWNER TO {role}", role=role)
    finding = only(portal.findings(), DriftKind.OWNERSHIP)
    assert (finding.object, finding.severity, finding.is_automatic) == (role, Severity.ALARM, True)
    assert "function play.root(), table play.mine" in finding.what
    kept = replace(shop.target, leftovers="keep")
    [armed] = check_drift(kept, portal.wanted).findings
    assert repair(kept, portal.wanted, [armed]).mended == (armed,)
    [left] = check_drift(kept, portal.wanted).findings
    assert (left.kind, left.is_automatic, left.is_repairable) == (DriftKind.OWNERSHIP, False, False)
    assert repair(kept, portal.wanted, [left]).mended == ()
    finding = only(portal.findings(), DriftKind.OWNERSHIP)
    chosen = replace(shop.target, leftover_owner=f"nobody_{secrets.token_hex(3)}")
    [(_, words)] = repair(chosen, portal.wanted, [finding]).refused
    assert "does not exist" in words
    portal.repair_all()
    with shop.as_dba() as dba:
        owners = (
            "SELECT pg_get_userbyid(relowner), (SELECT answer FROM play.mine) FROM pg_class WHERE oid = %s::regclass"
        )
        assert dba.execute(owners, ["play.mine"]).fetchall() == [("jit_quarantine", 42)]
        functions = "SELECT pg_get_userbyid(proowner), prosecdef FROM pg_proc WHERE proname = 'root'"
        assert dba.execute(functions).fetchall() == [("jit_quarantine", False)]
        members = "SELECT pg_get_userbyid(member) FROM pg_auth_members WHERE roleid = %s::regrole AND grantor <> 10"
        assert (order.login.role_name,) in dba.execute(members, [role]).fetchall()
        assert ("jit_portal",) not in dba.execute(members, [role]).fetchall(), "it stepped in for a moment"


def test_sessions_that_outlived_their_login(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    oid = portal.held[0][1].role_oid
    user = shop18.log_in(order)
    portal.dba("DROP ROLE {role}", role=order.login.role_name)
    portal.held = []
    assert portal.findings() == (), "sessions of unknown OIDs are not ours"
    finding = only(portal.findings(former_oids=(oid,)), DriftKind.SESSION)
    report = repair(shop18.target, replace(portal.wanted, former_oids=(oid,)), [finding])
    assert report.mended == (finding,)
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")


def test_new_tables_become_usable_by_a_resync(shop: Shop) -> None:
    """Patterns, tables of another owner, and what default privileges do not reach."""
    portal = Portal(shop)
    pattern = portal.grant(permissions("SELECT", "app", "ev*"))
    everything = portal.grant(permissions("SELECT,INSERT", "app", "*"))
    owner = f"{shop.database}_owner"
    portal.dba(
        "SET ROLE {owner}",
        "CREATE TABLE app.events_2026 (id serial)",
        "CREATE SCHEMA elsewhere",
        "CREATE TABLE elsewhere.moved (id serial)",
        "ALTER TABLE elsewhere.moved SET SCHEMA app",
        owner=owner,
    )
    with shop.log_in(everything) as user, pytest.raises(psycopg.errors.InsufficientPrivilege):
        user.execute("INSERT INTO app.moved DEFAULT VALUES")
    sets = (pattern.set.permissions, everything.set.permissions)
    report = resync_sets(shop.target, portal.installation, sets)
    assert (report.refused, {change.is_taken for change in report.changes}) == ({}, {False})
    assert {"app.moved", "app.events_2026"} <= {change.object for change in report.changes}
    with shop.log_in(everything) as user:
        user.execute("INSERT INTO app.moved DEFAULT VALUES; INSERT INTO app.events_2026 DEFAULT VALUES")
    with shop.log_in(pattern) as user:
        user.execute("SELECT * FROM app.events_2026")
    sent: list[str] = []
    conversation.before_statement = sent.append
    try:
        resync_sets(shop.target, portal.installation, sets)
    finally:
        conversation.before_statement = None
    assert set(sent) == {"read the two roles", "read the capability role's drift"}


def test_checks_beside_applying_and_ending_find_no_wrong(shop18: Shop) -> None:
    """A grant that is on its way is no orphan, whenever the check looks, as long as the portal knows its name."""
    portal = Portal(shop18)
    portal.grant(permissions("SELECT", "app", "orders"))
    orders = [of_installation(new_order(), portal.installation) for _ in range(6)]
    names = frozenset(order.login.role_name for order in orders)

    def live() -> None:
        for order in orders:
            apply_grant(shop18.target, order)
            end_grant(shop18.target, to_end(order))

    worker = threading.Thread(target=live)
    worker.start()
    checks = 0
    while worker.is_alive() or not checks:
        assert portal.findings(other_roles=names) == ()
        checks += 1
    worker.join()
    assert checks


def test_a_login_made_again_by_hand_is_an_alarm(shop18: Shop) -> None:
    portal = Portal(shop18)
    order = portal.grant(permissions("SELECT", "app", "orders"))
    role = order.set.capability
    tag = order.login.tag
    until = portal.held[0][1].valid_until + timedelta(milliseconds=5)
    portal.dba(
        "DROP ROLE {role}", "CREATE ROLE {role} LOGIN", "GRANT {set} TO {role}", role=order.login.role_name, set=role
    )
    with shop18.as_dba() as conn:
        conn.execute(
            sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(order.login.role_name), sql.Literal(tag))
        )
        conn.execute(
            sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(
                sql.Identifier(order.login.role_name), sql.Literal(str(until))
            )
        )
    alarms = [f for f in portal.findings() if f.kind is DriftKind.ATTRIBUTE]
    assert [f.severity for f in alarms] == [Severity.ALARM]
    assert "another OID" in alarms[0].what
