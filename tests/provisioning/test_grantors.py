"""Who gave what: grants that succeed and give nothing, and privileges that only their own grantor can take back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftKind, DriftOrder
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.end.unused_capabilities import retire_capabilities
from accessmgmt.provisioning.session import conversation
from devstack.recipe import ConnectBy, grant_with_option, prepare_target
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_installation, new_order, permissions

GRANT = "grant on the chunk's tables"


@pytest.fixture(params=[18, 16, 14])
def lent_shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    """A shop whose owner jit_portal is no member of: it holds everything with grant option instead."""
    shop = new_shop(request.param)
    owner = sql.Identifier(f"{shop.database}_owner")
    with shop.as_dba() as dba:
        dba.execute(sql.SQL("REVOKE {} FROM jit_portal").format(owner))
        prepare_target(
            dba,
            login=shop.target.username,
            password=ADMIN_PASSWORD,
            databases=[shop.database],
            connect_by=ConnectBy.GRANT_OPTION,
        )
        dba.execute(sql.SQL("SET ROLE {}").format(owner))
        grant_with_option(dba, schemas=["app"])
    return shop


def an_order(tables: str = "orders", grants: str = "SELECT") -> GrantOrder:
    """An order of an installation of its own: no capability role is there yet."""
    return of_installation(new_order(permissions(grants, "app", tables)), new_installation())


@pytest.mark.parametrize("occurrence", [1, 2], ids=["in the rehearsal", "after the rehearsal"])
def test_a_grant_that_gives_nothing_is_a_failure(lent_shop: Shop, occurrence: int) -> None:
    """Without the grant option GRANT says "GRANT", and only a warning (01007) that it gave nothing."""
    seen = 0

    def take_the_option_away(description: str) -> None:
        nonlocal seen
        seen += description == GRANT
        if seen == occurrence and description == GRANT:
            with lent_shop.as_dba() as dba:
                dba.execute("REVOKE GRANT OPTION FOR SELECT ON app.orders FROM jit_portal")

    order = an_order()
    conversation.before_statement = take_the_option_away
    try:
        with pytest.raises(TargetRefused) as refusal:
            apply_grant(lent_shop.target, order)
    finally:
        conversation.before_statement = None
    assert refusal.value.sqlstate == "01007"
    assert "gave nothing" in refusal.value.what
    assert lent_shop.roles(order) == 0, "no login was made"


def test_a_part_of_a_grant_that_gives_nothing_is_a_failure_too(lent_shop: Shop) -> None:
    """It warns "not all privileges were granted", and the rest was given."""

    def take_one_option_away(description: str) -> None:
        if description == GRANT:
            with lent_shop.as_dba() as dba:
                dba.execute("REVOKE GRANT OPTION FOR UPDATE ON app.orders FROM jit_portal")

    order = an_order(grants="SELECT,UPDATE")
    conversation.before_statement = take_one_option_away
    try:
        with pytest.raises(TargetRefused) as refusal:
            apply_grant(lent_shop.target, order)
    finally:
        conversation.before_statement = None
    assert refusal.value.sqlstate == "01007"


def test_both_ways_of_sharing_at_once_are_told_and_no_login_stays(lent_shop: Shop) -> None:
    """Options first, membership later: REVOKE and DROP OWNED then remove nothing, and say "REVOKE"."""
    order, later = an_order(), an_order()
    later = of_installation(later, order.login.installation)
    apply_grant(lent_shop.target, order)
    owner = sql.Identifier(f"{lent_shop.database}_owner")
    option = sql.SQL(" WITH INHERIT TRUE, SET FALSE" if lent_shop.server.version >= 16 else "")
    with lent_shop.as_dba() as dba:
        dba.execute(sql.SQL("GRANT {} TO jit_portal{}").format(owner, option))
    close_pools()

    apply_grant(lent_shop.target, later)
    with lent_shop.log_in(later) as user:
        user.execute("SELECT * FROM app.orders")
    names = frozenset({order.login.role_name, later.login.role_name})
    wanted = DriftOrder(order.login.installation, (order.set.permissions,), (), names)
    [finding] = check_drift(lent_shop.target, wanted).findings
    assert (finding.kind, finding.object) == (DriftKind.GRANTOR, "app.orders")
    for ending in (order, later):
        end_grant(lent_shop.target, to_end(ending))
        assert lent_shop.roles(ending) == 0

    capability = order.set.capability
    assert retire_capabilities(lent_shop.target, order.login.installation, set()).dropped == (capability,)
