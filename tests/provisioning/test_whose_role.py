"""Whether a role is a grant's login: by its tag, or by the name and OID that were stored when it was made here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftKind, DriftOrder, KnownLogin
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.grants import end_grant, end_grants
from tests.orders import as_made, of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.provisioning.dba import sql_in

ORDERS = permissions("SELECT", "app", "orders")


@pytest.fixture(params=[(18, False), (16, False), (14, False), (18, True)], ids=["18", "16", "14", "18-superuser"])
def shop(request: pytest.FixtureRequest, shops: Callable[[int, bool], Shop]) -> Shop:
    return shops(*request.param)


def applied(shop: Shop, beside: GrantOrder | None = None) -> GrantOrder:
    """A grant as the portal has stored it once it is active; of the same installation as another one, or its own."""
    order = of_installation(new_order(ORDERS), beside.login.installation if beside else new_installation())
    receipt = apply_grant(shop.target, order)
    return as_made(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier)


def as_dba(shop: Shop, *statements: str, **names: str) -> None:
    with shop.as_dba() as conn:
        for text in statements:
            conn.execute(sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()}))  # type: ignore[arg-type]


def rename(shop: Shop, order: GrantOrder, other: str) -> None:
    """Give the login another name and another comment."""
    name = order.login.role_name
    as_dba(shop, "ALTER ROLE {it} RENAME TO {other}", "COMMENT ON ROLE {other} IS 'x'", it=name, other=other)


def roles(shop: Shop, *names: str) -> set[str]:
    with shop.as_dba() as conn:
        return {name for (name,) in conn.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [[*names]])}


def is_cut(user: psycopg.Connection) -> bool:
    try:
        user.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


@pytest.mark.parametrize("text", ["NULL", "'reviewed by the auditors'"])
def test_a_changed_comment_keeps_no_login_alive(shop: Shop, text: str) -> None:
    order = applied(shop)
    user = shop.log_in(order)
    as_dba(shop, f"COMMENT ON ROLE {{it}} IS {text}", it=order.login.role_name)
    receipt = end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert roles(shop, order.login.role_name) == set()
    assert len(receipt.sessions) == 1
    assert any("changed the comment" in note for note in receipt.notes)
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(order)


def test_a_new_name_and_a_new_comment_keep_no_login_alive(shop: Shop) -> None:
    order, other = applied(shop), f"service_{secrets.token_hex(4)}"
    user = shop.log_in(order)
    rename(shop, order, other)
    receipt = end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert roles(shop, order.login.role_name, other) == set()
    assert [other in note for note in receipt.notes] == [True, False]


def test_a_login_without_name_and_comment_is_known_again_when_the_first_try_failed(shop: Shop) -> None:
    """The first try takes it out of the set, by which it was known."""
    order, other = applied(shop), f"service_{secrets.token_hex(4)}"
    rename(shop, order, other)
    as_dba(shop, "CREATE SCHEMA {other} AUTHORIZATION {other}", other=other)
    with pytest.raises(TargetRefused, match="owns 1 object"):
        end_grant(replace(shop.target, leftovers="keep"), to_end(order))
    as_dba(shop, "DROP SCHEMA {other}", other=other)
    assert end_grant(shop.target, to_end(order)).verified_at
    assert roles(shop, other) == set()


def test_a_role_with_the_oid_alone_is_cut_and_left_to_a_dba(shop: Shop) -> None:
    """Out of the set, renamed and without its comment: nothing says any more whose it is. The advice goes on."""
    order, other = applied(shop), f"service_{secrets.token_hex(4)}"
    user = shop.log_in(order)
    rename(shop, order, other)
    with shop.as_dba() as dba:
        grantor = "GRANTED BY jit_portal" if shop.server.version >= 16 and "jit_login" in shop.target.username else ""
        dba.execute(f'REVOKE "{order.set.capability}" FROM "{other}" {grantor}')  # type: ignore[arg-type]
    with pytest.raises(TargetRefused, match="not this grant") as refusal:
        end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert roles(shop, other) == {other}
    with shop.as_dba() as dba:
        dba.execute(sql_in(refusal.value.todo))  # type: ignore[arg-type]
    assert end_grant(shop.target, to_end(order)).verified_at
    assert roles(shop, order.login.role_name, other) == set()


def test_a_role_with_the_name_alone_is_never_dropped(shop: Shop) -> None:
    """The login was dropped, and somebody made another one of its name: old sessions end, and the new role stays."""
    order = applied(shop)
    user = shop.log_in(order)
    as_dba(
        shop,
        "DROP ROLE {it}",
        "CREATE ROLE {it}",
        "GRANT {set} TO {it}",
        it=order.login.role_name,
        set=order.set.capability,
    )
    with pytest.raises(TargetRefused, match="not this grant") as refusal:
        end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert roles(shop, order.login.role_name) == {order.login.role_name}
    with shop.as_dba() as dba:
        dba.execute(sql_in(refusal.value.todo))  # type: ignore[arg-type]
    assert end_grant(shop.target, to_end(order)).role_was_absent
    as_dba(shop, "DROP ROLE {it}", it=f"not_{order.login.role_name}")


def test_a_copy_beside_the_login_keeps_nobody_in(shop: Shop) -> None:
    order, other = applied(shop), f"service_{secrets.token_hex(4)}"
    user = shop.log_in(order)
    as_dba(shop, "ALTER ROLE {it} RENAME TO {other}", "CREATE ROLE {it} LOGIN", it=order.login.role_name, other=other)
    with shop.as_dba() as dba:
        tag = sql.Literal(order.login.tag)
        dba.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(order.login.role_name), tag))
    with pytest.raises(TargetRefused, match="another OID") as refusal:
        end_grant(shop.target, to_end(order))
    assert is_cut(user)
    assert roles(shop, order.login.role_name, other) == {order.login.role_name}, (
        "the login is gone, the copy is not ours"
    )
    with shop.as_dba() as dba:
        dba.execute(sql_in(refusal.value.todo))  # type: ignore[arg-type]
    assert end_grant(shop.target, to_end(order)).verified_at
    as_dba(shop, "DROP ROLE {it}", it=f"not_{order.login.role_name}")


def test_another_grants_login_with_this_oid_is_left_in_peace(shop: Shop) -> None:
    """A server that took over can give an OID again: the portal's own tag says whose the role is."""
    order = applied(shop)
    other = applied(shop, order)
    end_grant(shop.target, to_end(order))
    user = shop.log_in(other)
    assert end_grant(shop.target, to_end(order, role_oid=other.login.role_oid)).role_was_absent
    assert not is_cut(user)
    end_grant(shop.target, to_end(other))


def test_on_another_cluster_name_and_oid_prove_nothing(shop: Shop) -> None:
    order = as_made(applied(shop), system_identifier="1")
    as_dba(shop, "COMMENT ON ROLE {it} IS 'x'", it=order.login.role_name)
    user = shop.log_in(order)
    with pytest.raises(TargetRefused, match="not this grant"):
        end_grant(shop.target, to_end(order))
    assert not is_cut(user)
    as_dba(shop, "ALTER ROLE {it} RENAME TO {other}", it=order.login.role_name, other=f"x_{order.login.role_name}")
    with pytest.raises(TargetRefused, match="another PostgreSQL server"):
        end_grant(shop.target, to_end(order))
    assert not is_cut(user)
    user.close()
    as_dba(shop, "DROP ROLE {it}", it=f"x_{order.login.role_name}")


def test_without_a_stored_oid_only_the_tag_counts(shop: Shop) -> None:
    order = as_made(applied(shop), role_oid=None)
    as_dba(shop, "COMMENT ON ROLE {it} IS 'x'", it=order.login.role_name)
    with pytest.raises(TargetRefused, match="not this grant"):
        end_grant(shop.target, to_end(order))
    assert roles(shop, order.login.role_name) == {order.login.role_name}
    as_dba(shop, "DROP ROLE {it}", it=order.login.role_name)


def test_one_role_that_is_not_ours_keeps_no_other_grant_ending(shop: Shop) -> None:
    orders = [applied(shop) for _ in range(3)]
    as_dba(shop, "DROP ROLE {it}", "CREATE ROLE {it}", it=orders[1].login.role_name)
    outcomes = end_grants(shop.target, [to_end(order) for order in orders])
    assert [isinstance(outcome, TargetRefused) for outcome in outcomes] == [False, True, False]
    assert roles(shop, *(order.login.role_name for order in orders)) == {orders[1].login.role_name}
    as_dba(shop, "DROP ROLE {it}", it=orders[1].login.role_name)


def test_the_drift_check_gives_a_login_its_comment_back(shop: Shop) -> None:
    order = of_installation(new_order(ORDERS), new_installation())
    receipt = apply_grant(shop.target, order)
    login = KnownLogin(
        order.login.grant_id, order.login.role_name, receipt.role_oid, order.set.capability, receipt.valid_until
    )
    wanted = DriftOrder(order.login.installation, (ORDERS,), (login,))
    as_dba(shop, "COMMENT ON ROLE {it} IS NULL", it=order.login.role_name)
    found = check_drift(shop.target, wanted).findings
    assert [(f.kind, f.is_automatic) for f in found] == [(DriftKind.ATTRIBUTE, True)]
    assert repair(shop.target, wanted, found).mended == found
    assert check_drift(shop.target, wanted).findings == ()
    other = f"service_{secrets.token_hex(4)}"
    rename(shop, order, other)
    [vanished] = check_drift(shop.target, wanted).findings
    assert vanished.kind is DriftKind.VANISHED
    assert other in vanished.what
    end_grant(shop.target, to_end(order, role_oid=receipt.role_oid, system_identifier=receipt.system_identifier))
    assert roles(shop, other) == set()
