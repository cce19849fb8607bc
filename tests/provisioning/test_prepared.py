"""What a login prepared for a two-phase commit outlives it on every version: told, waited for, never finished by us."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect import admin
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from devstack.postgres import PostgresServer
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order, permissions


@pytest.fixture(params=[17, 16, 15, 14])
def shop(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Shop:
    """A shop on a server that knows prepared transactions, with a schema for everybody."""
    shop = shop_on(own_server(request.param, max_prepared_transactions=5))
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    return shop


def applied(shop: Shop) -> GrantOrder:
    order = new_order(permissions("SELECT", "app", "orders"))
    return as_made(order, role_oid=apply_grant(shop.target, order).role_oid)


def test_one_that_only_read_is_a_note_and_one_that_made_something_holds_the_role(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's name is gone with the role, so it is asked before."""
    reader, writer = applied(shop), applied(shop)
    with shop.log_in(reader) as user:
        user.execute("BEGIN; SELECT * FROM app.orders; PREPARE TRANSACTION 'read'")
    with shop.log_in(writer) as user:
        user.execute("BEGIN; CREATE TABLE play.made (id int); PREPARE TRANSACTION 'wrote'")

    receipt = end_grant(shop.target, to_end(reader))
    assert "ROLLBACK PREPARED 'read'" in receipt.notes[0]
    assert shop.roles(reader) == 0

    # The role is waited for as long as any lock is: less of that is enough here.
    monkeypatch.setitem(admin.SETTINGS, "lock_timeout", "100ms")
    monkeypatch.setattr(conversation, "MOST_ATTEMPTS", 2)
    admin.close_pools()
    with pytest.raises(TargetRefused) as refusal:
        end_grant(shop.target, to_end(writer))
    assert "ROLLBACK PREPARED 'wrote'" in refusal.value.todo
    with pytest.raises(psycopg.OperationalError):
        shop.log_in(writer)
    with shop.as_dba() as dba:
        found = dba.execute("SELECT gid FROM pg_prepared_xacts ORDER BY gid").fetchall()
        assert found == [("read",), ("wrote",)], "whether to commit is not ours to say"
        dba.execute("COMMIT PREPARED 'wrote'")
        dba.execute("ROLLBACK PREPARED 'read'")
    assert end_grant(shop.target, to_end(writer)).reassigned == (shop.database,)
    with shop.as_dba() as dba:
        query = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'made'"
        assert dba.execute(query).fetchall() == [("jit_quarantine",)]
