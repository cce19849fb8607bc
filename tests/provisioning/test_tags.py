"""Whoever may write comments on roles cannot make the portal take a role for its own, or lose sight of one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, KnownLogin, Severity
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions

ORDERS = permissions("SELECT", "app", "orders")


@pytest.fixture(params=[14, 18])
def shop(request: pytest.FixtureRequest, shops: Callable[[int, bool], Shop]) -> Shop:
    return shops(request.param, False)


@pytest.fixture
def order() -> GrantOrder:
    return of_installation(new_order(ORDERS), new_installation())


def as_dba(shop: Shop, *statements: str, **names: str) -> None:
    with shop.as_dba() as conn:
        for text in statements:
            conn.execute(sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()}))  # type: ignore[arg-type]


def comment(shop: Shop, role: str, text: str) -> None:
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(text)))


def wanted(orders: Sequence[GrantOrder], shop: Shop) -> DriftOrder:
    """What a portal expects that has applied these orders."""
    logins = []
    for order in orders:
        receipt = apply_grant(shop.target, order)
        logins.append(
            KnownLogin(
                order.login.grant_id, order.login.role_name, receipt.role_oid, order.set.capability, receipt.valid_until
            )
        )
    return DriftOrder(orders[0].login.installation, tuple({order.set.permissions for order in orders}), tuple(logins))


def findings(shop: Shop, expected: DriftOrder) -> dict[str, DriftFinding]:
    return {finding.role: finding for finding in check_drift(shop.target, expected).findings}


def made_up(installation: Installation) -> str:
    """What somebody writes who has read the comments of others."""
    return f"{installation.tag_prefix}grant:{secrets.token_hex(8)}:{secrets.token_hex(12)}"


def test_a_made_up_tag_is_an_alarm_and_nothing_is_done_to_the_role(shop: Shop, order: GrantOrder) -> None:
    stranger = f"stranger_{secrets.token_hex(4)}"
    as_dba(shop, "CREATE ROLE {it} LOGIN SUPERUSER", it=stranger)
    comment(shop, stranger, made_up(order.login.installation))
    expected = wanted([order], shop)
    found = check_drift(shop.target, expected).findings
    assert [(f.kind, f.severity, f.role, f.sql, f.is_repairable) for f in found] == [
        (DriftKind.FOREIGN, Severity.ALARM, stranger, "", False)
    ]
    assert "tag that this portal did not write" in found[0].what
    assert repair(shop.target, expected, found).mended == ()
    with pytest.raises(TargetRefused, match="no name of a login role"):
        end_grant(shop.target, to_end(order, role_name=stranger))
    as_dba(shop, "DROP ROLE {it}", it=stranger)
    end_grant(shop.target, to_end(order))


def test_a_copied_tag_hides_nothing_of_the_true_role(shop: Shop, order: GrantOrder) -> None:
    """Of two roles with one comment, the later one by name must not stand for the grant's own."""
    expected = wanted([order], shop)
    copies = [f"{letter}_{secrets.token_hex(4)}" for letter in "az"]
    for name in copies:
        as_dba(shop, "CREATE ROLE {it}", it=name)
        comment(shop, name, order.login.tag)
    as_dba(shop, "ALTER ROLE {it} CREATEDB", it=order.login.role_name)
    found = findings(shop, expected)
    assert set(found) == {order.login.role_name, *copies}
    assert {found[name].kind for name in copies} == {DriftKind.FOREIGN}
    assert "CREATEDB" in found[order.login.role_name].what
    as_dba(shop, *(f'DROP ROLE "{name}"' for name in copies))
    end_grant(shop.target, to_end(order))


def test_a_renamed_login_is_told_from_a_copy_by_its_oid(shop: Shop, order: GrantOrder) -> None:
    expected = wanted([order], shop)
    other = f"renamed_{secrets.token_hex(4)}"
    as_dba(shop, "ALTER ROLE {it} RENAME TO {other}", "CREATE ROLE {it}", it=order.login.role_name, other=other)
    comment(shop, order.login.role_name, order.login.tag)
    found = check_drift(shop.target, expected).findings
    assert {(f.kind, f.what.split(" ")[1]) for f in found} == {
        (DriftKind.ATTRIBUTE, "was"),
        (DriftKind.FOREIGN, "bears"),
    }
    as_dba(shop, "DROP ROLE {it}", it=order.login.role_name)
    end_grant(shop.target, to_end(order, role_oid=expected.logins[0].role_oid))


def test_a_forged_member_is_seen_and_a_forged_group_is_left_alone(shop: Shop, order: GrantOrder) -> None:
    expected = wanted([order], shop)
    member, group = f"member_{secrets.token_hex(4)}", f"group_{secrets.token_hex(4)}"
    as_dba(shop, "CREATE ROLE {m}", "CREATE ROLE {g}", m=member, g=group)
    as_dba(shop, "SET ROLE jit_portal", "GRANT {set} TO {m}", m=member, set=order.set.capability)
    as_dba(shop, "CREATE ROLE {p}", "GRANT {g} TO {p}", p=f"person_{group}", g=group)
    comment(shop, member, made_up(order.login.installation))
    comment(shop, group, made_up(order.login.installation))
    found = check_drift(shop.target, expected).findings
    memberships = [f for f in found if f.kind is DriftKind.MEMBERSHIP]
    assert [(f.role, f.is_automatic) for f in memberships] == [(order.set.capability, False)]
    assert member in memberships[0].what
    assert {f.role for f in found if f.kind is DriftKind.FOREIGN} == {member, group}
    assert len(repair(shop.target, expected, found).mended) == 1
    with shop.as_dba() as conn:
        rows = conn.execute("SELECT pg_get_userbyid(member) FROM pg_auth_members WHERE roleid = %s::regrole", [group])
        assert rows.fetchall() == [(f"person_{group}",)]
    as_dba(shop, "DROP ROLE {p}, {g}, {m}", p=f"person_{group}", g=group, m=member)
    end_grant(shop.target, to_end(order))


def test_a_role_that_pretends_to_be_a_set_is_not_dropped(shop: Shop, order: GrantOrder) -> None:
    apply_grant(shop.target, order)
    end_grant(shop.target, to_end(order))
    group = f"group_{secrets.token_hex(4)}"
    as_dba(shop, "CREATE ROLE {it}", "GRANT SELECT ON app.orders TO {it}", it=group)
    for text in (made_up(order.login.installation).replace(":grant:", ":set:"), order.set.tag):
        comment(shop, group, text)
        report = retire_capabilities(shop.target, order.login.installation, {order.set.permissions.digest})
        assert (report.dropped, report.kept) == ((), {})
    assert retire_capabilities(shop.target, order.login.installation, set()).dropped == (order.set.capability,)
    as_dba(shop, "DROP OWNED BY {it}", "DROP ROLE {it}", it=group)


def test_a_set_or_login_that_somebody_made_is_not_used(shop: Shop, order: GrantOrder) -> None:
    as_dba(shop, "CREATE ROLE {it}", it=order.set.capability)
    comment(shop, order.set.capability, order.set.tag.rsplit(":", 1)[0])
    with pytest.raises(TargetRefused, match="is not this portal's"):
        apply_grant(shop.target, order)
    as_dba(shop, "DROP ROLE {it}", "CREATE ROLE {login}", it=order.set.capability, login=order.login.role_name)
    comment(shop, order.login.role_name, order.login.tag.rsplit(":", 1)[0])
    for act, asked in ((apply_grant, order), (end_grant, to_end(order))):
        with pytest.raises(TargetRefused, match="not this grant"):
            act(shop.target, asked)
    as_dba(shop, "DROP ROLE {it}", it=order.login.role_name)


def test_no_advice_to_administer_a_role_that_only_pretends(
    shops: Callable[[int, bool], Shop], order: GrantOrder
) -> None:
    """The preflight lists the portal's roles that it may not administer: a powerful one must not get in between."""
    shop = shops(18, False)
    apply_grant(shop.target, order)
    strong = f"strong_{secrets.token_hex(4)}"
    as_dba(shop, "CREATE ROLE {it} CREATEROLE CREATEDB", "GRANT SELECT ON app.orders TO {it}", it=strong)
    comment(shop, strong, made_up(order.login.installation))
    as_dba(shop, "REVOKE {it} FROM jit_portal CASCADE", it=order.login.role_name)
    close_pools()
    rungs = {rung.name: rung for rung in ladder.test_connection(shop.target, (), order.login.installation)}
    assert f'GRANT "{order.login.role_name}" TO' in rungs["Rights"].fix
    assert strong not in rungs["Rights"].fix
    as_dba(shop, rungs["Rights"].fix.rstrip(";"), "DROP OWNED BY {it}", "DROP ROLE {it}", it=strong)
    end_grant(shop.target, to_end(order))
