"""The connection test tells what every login gets besides, and what will make granting slow or impossible."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg import sql

from accessmgmt.domain.targets import Rung, RungState
from accessmgmt.provisioning.check import ladder
from tests.provisioning.conftest import Shop


def rung_of(shop: Shop) -> Rung:
    return next(rung for rung in ladder.test_connection(shop.target) if rung.name == "Open to everybody")


@pytest.mark.parametrize("version", [18, 14])
def test_functions_that_run_with_their_owners_rights(new_shop: Callable[..., Shop], version: int) -> None:
    """EXECUTE is PUBLIC's by default; it cannot be taken from one role."""
    shop = new_shop(version)
    assert rung_of(shop).state is RungState.PASSED
    with shop.as_dba() as dba:
        body = "RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 42'"
        dba.execute(f"CREATE FUNCTION app.peek(int) {body}; CREATE FUNCTION app.closed() {body}")  # type: ignore[call-overload]
        dba.execute("REVOKE EXECUTE ON FUNCTION app.closed() FROM PUBLIC")
    rung = rung_of(shop)
    assert rung.state is RungState.WARNED
    assert "app.peek(integer)" in rung.detail
    assert "closed" not in rung.detail
    with shop.as_dba() as dba:
        dba.execute(rung.fix)  # type: ignore[call-overload]
    assert rung_of(shop).state is RungState.PASSED


def test_access_lists_that_fill_up(new_shop: Callable[..., Shop]) -> None:
    """At about 2,400 grantees every GRANT on the table fails, for everybody."""
    shop = new_shop()
    names = [f"{shop.database}_{number}" for number in range(1_800)]
    with shop.as_dba() as dba:
        roles = sql.SQL(", ").join(map(sql.Identifier, names))
        dba.execute(sql.SQL("; ").join(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)) for name in names))
        for number, privileges in enumerate(("SELECT", "INSERT, UPDATE", "DELETE, TRIGGER")):
            some = sql.SQL(", ").join(map(sql.Identifier, names[number::3]))
            dba.execute(sql.SQL("GRANT {} ON app.orders TO {}").format(sql.SQL(privileges), some))
        try:
            rung = rung_of(shop)
            assert (rung.state, "app.orders" in rung.detail) == (RungState.WARNED, True)
        finally:
            dba.execute(sql.SQL("REVOKE ALL ON app.orders FROM {}").format(roles))
            dba.execute(sql.SQL("DROP ROLE {}").format(roles))
    assert rung_of(shop).state is RungState.PASSED
