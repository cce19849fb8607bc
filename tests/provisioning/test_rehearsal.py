"""Before a set's first use its whole life is tried and rolled back: what cannot be ended is not granted."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions


@pytest.mark.parametrize(("version", "is_superuser"), [(18, False), (18, True), (16, False), (14, False)])
def test_the_first_use_is_rehearsed_and_leaves_nothing(
    new_shop: Callable[..., Shop], version: int, is_superuser: bool
) -> None:
    shop = new_shop(version, is_superuser=is_superuser)
    alone = new_installation()
    orders = [of_installation(new_order(permissions("ALL", "app", "*")), alone) for _ in range(2)]
    rehearsed = []
    for order in orders:
        sent: list[str] = []
        conversation.before_statement = sent.append
        try:
            apply_grant(shop.target, order)
        finally:
            conversation.before_statement = None
        rehearsed.append("rehearse: verify" in sent)
    assert rehearsed == [True, False]
    with shop.as_dba() as conn:
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE '%rehearsal%'").fetchall() == [(0,)]
    for order in orders:
        end_grant(shop.target, to_end(order))


def test_no_role_is_made_for_what_cannot_be_shared(new_shop: Callable[..., Shop]) -> None:
    """The admin role holds grant options on SELECT only: no role is made for SELECT and UPDATE."""
    shop = new_shop(tables="CREATE SCHEMA app")
    alone = new_installation()
    other = f"other_{secrets.token_hex(3)}"
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(other)))
        conn.execute("CREATE TABLE app.theirs (id int); GRANT SELECT ON app.theirs TO jit_portal WITH GRANT OPTION")
        conn.execute(sql.SQL("ALTER TABLE app.theirs OWNER TO {}").format(sql.Identifier(other)))
    order = of_installation(new_order(permissions("SELECT,UPDATE", "app", "theirs")), alone)
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(shop.target, order)
    assert refusal.value.sqlstate == "42501"
    with shop.as_dba() as conn:
        name = order.set.permissions.capability_role_name(alone)
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [name]).fetchall() == [(0,)]
