"""Roles that another credential made, or that stem from before an upgrade to 16: a refusal says which SQL mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import RungState
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order
from tests.provisioning.dba import sql_in
from tests.provisioning.test_preflight import climb, crud

SINCE_16 = [16, 17, 18]
NO_ADMIN = "Jit_portal has no ADMIN option on 2 roles of the portal, made before PostgreSQL 16 or by others."


@dataclass
class Switched:
    """A shop where a superuser gave access, and the resource now has the minimal admin."""

    shop: Shop
    old: GrantOrder

    @property
    def later(self) -> GrantOrder:
        return new_order(self.old.set.permissions)

    def run(self, refusal: TargetError) -> None:
        """Do what the refusal says, as a DBA."""
        with self.shop.as_dba() as dba:
            dba.execute(sql_in(refusal.todo))  # type: ignore[arg-type]
        close_pools()


@pytest.fixture(params=SINCE_16)
def switched(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Switched:
    shop = new_shop(request.param)
    old = new_order(crud())
    receipt = apply_grant(replace(shop.target, username="postgres", password=shop.server.password), old)
    return Switched(shop, as_made(old, role_oid=receipt.role_oid))


def test_a_set_that_a_superuser_made_cannot_be_given_until_the_sql_was_run(switched: Switched) -> None:
    order = switched.later
    with pytest.raises(TargetRefused, match="refused to tag the role") as refusal:
        apply_grant(switched.shop.target, order)
    assert refusal.value.why.endswith(NO_ADMIN)
    capability = order.set.capability
    assert 'TO "jit_portal" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;' in refusal.value.todo
    assert capability in refusal.value.todo
    assert switched.shop.roles(order) == 0

    switched.run(refusal.value)

    receipt = apply_grant(switched.shop.target, order)
    end_grant(switched.shop.target, to_end(order, role_oid=receipt.role_oid))
    assert switched.shop.roles(order) == 0


def test_a_login_that_a_superuser_made_ends_when_the_sql_was_run(switched: Switched) -> None:
    with pytest.raises(TargetRefused) as refusal:
        end_grant(switched.shop.target, to_end(switched.old))
    assert NO_ADMIN in refusal.value.why
    assert switched.old.login.role_name in refusal.value.todo
    switched.run(refusal.value)
    end_grant(switched.shop.target, to_end(switched.old))
    assert switched.shop.roles(switched.old) == 0


@pytest.mark.parametrize("version", SINCE_16)
def test_roles_that_an_upgrade_brought_along(new_shop: Callable[..., Shop], version: int) -> None:
    """The admin role made them itself, on 15, where its ADMIN was not written down."""
    shop = new_shop(version)
    order = new_order(crud())
    receipt = apply_grant(shop.target, order)
    ending = as_made(order, role_oid=receipt.role_oid)
    with shop.as_dba() as dba:
        dba.execute(
            "DELETE FROM pg_auth_members m USING pg_roles r WHERE r.oid = m.roleid AND m.member = 'jit_portal'::regrole"
            " AND r.rolname IN (%s, %s)",
            [order.login.role_name, order.set.capability],
        )
    close_pools()
    rung = climb(shop.target)["Rights"]
    assert (rung.state, rung.detail) == (RungState.FAILED, NO_ADMIN)
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(ending))
    assert sql_in(refusal.value.todo) == sql_in(rung.fix)
    with shop.as_dba() as dba:
        dba.execute(rung.fix)  # type: ignore[arg-type]
    assert climb(shop.target)["Rights"].state is RungState.PASSED
    end_grant(shop.target, to_end(ending))
    assert shop.roles(order) == 0


def test_up_to_15_createrole_is_enough(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop(15)
    order = new_order(crud())
    receipt = apply_grant(replace(shop.target, username="postgres", password=shop.server.password), order)
    later = new_order(order.set.permissions)
    for ending in (as_made(order, role_oid=receipt.role_oid), later):
        if ending is later:
            apply_grant(shop.target, later)
        end_grant(shop.target, to_end(ending))
        assert shop.roles(ending) == 0
