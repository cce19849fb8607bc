"""The target's server crashes in the middle of an ending: what the disk did not have is done again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import conversation
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from tests.orders import to_end
from tests.provisioning.conftest import Shop, make_shop, new_order


def test_a_fence_that_a_crash_took_back_is_put_up_again(
    servers_directory: Path, certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence reaches the disk with the DROP ROLE, not before: a crash in between opens the door again."""
    server = PostgresServer(
        18,
        servers_directory / "crash",
        tls=certificate_authority.server(),
        settings={"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"},
        durable=True,
    )
    with server.start():
        shop = make_shop(server, certificate_authority, is_superuser=False)
        order = new_order()
        receipt = apply_grant(shop.target, order)
        could_log_in: list[bool] = []

        def crash_once(description: str) -> None:
            if description == "drop the login role" and not could_log_in:
                server.kill()
                server.start()
                could_log_in.append(may_log_in(shop, receipt.role_oid))

        monkeypatch.setattr(conversation, "before_statement", crash_once)
        ended = end_grant(shop.target, to_end(order))
        assert could_log_in == [True], "the crash came too late: nothing is shown"
        assert not ended.role_was_absent
        assert shop.roles(order) == 0


def may_log_in(shop: Shop, role_oid: int) -> bool:
    with shop.as_dba() as conn:
        row = conn.execute("SELECT rolcanlogin FROM pg_roles WHERE oid = %s", [role_oid]).fetchone()
    assert row is not None
    return bool(row[0])


@pytest.mark.parametrize("version", [18, 14])
def test_what_is_recorded_as_gone_stays_gone(
    own_server: Callable[..., PostgresServer], shop_on: Callable[[PostgresServer], Shop], version: int
) -> None:
    """A server with synchronous_commit off would forget the DROP ROLE."""
    server = own_server(version, synchronous_commit="off", wal_writer_delay="10s", wal_writer_flush_after="1GB")
    shop = shop_on(server)
    order = new_order()
    receipt = apply_grant(shop.target, order)
    server.execute("CHECKPOINT")
    end_grant(shop.target, to_end(order, role_oid=receipt.role_oid))
    server.kill()
    close_pools()
    server.start()
    assert shop.roles(order) == 0
