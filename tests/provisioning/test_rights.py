"""Roles that another credential made, or that stem from before an upgrade to 16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import RungState
from accessmgmt.provisioning.apply import apply_grant
from accessmgmt.provisioning.connect import close_pools
from accessmgmt.provisioning.end import end_grant
from tests.provisioning.conftest import Shop, new_order
from tests.provisioning.test_preflight import climb, crud

SINCE_16 = [16, 17, 18]
NO_ADMIN = "Jit_portal has no ADMIN option on 2 roles of the portal, made before PostgreSQL 16 or by others."


@pytest.mark.parametrize("version", SINCE_16)
def test_roles_that_an_upgrade_brought_along(new_shop: Callable[..., Shop], version: int) -> None:
    """The admin role made them itself, on 15, where its ADMIN was not written down."""
    shop = new_shop(version)
    order = new_order(crud())
    receipt = apply_grant(shop.target, order)
    ending = replace(order, role_oid=receipt.role_oid)
    with shop.as_dba() as dba:
        dba.execute(
            "DELETE FROM pg_auth_members m USING pg_roles r WHERE r.oid = m.roleid AND m.member = 'jit_portal'::regrole"
            " AND r.rolname IN (%s, %s)",
            [order.role_name, order.permissions.capability_role_name(order.installation_id)],
        )
    close_pools()
    rung = climb(shop.target)["Rights"]
    assert (rung.state, rung.detail) == (RungState.FAILED, NO_ADMIN)
    assert order.role_name in rung.fix
    with pytest.raises(TargetRefused):
        end_grant(shop.target, ending)
    with shop.as_dba() as dba:
        dba.execute(rung.fix)  # type: ignore[arg-type]
    assert climb(shop.target)["Rights"].state is RungState.PASSED
    end_grant(shop.target, ending)
    assert shop.roles(order) == 0


def test_up_to_15_createrole_is_enough(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(15)
    order = new_order(crud())
    receipt = apply_grant(replace(shop.target, username="postgres", password=shop.server.password), order)
    later = new_order(order.permissions)
    for ending in (replace(order, role_oid=receipt.role_oid), later):
        if ending is later:
            apply_grant(shop.target, later)
        end_grant(shop.target, ending)
        assert shop.roles(ending) == 0
