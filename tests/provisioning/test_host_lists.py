"""Every host of a list is looked at when a grant ends, whoever is asked as the standby."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end import grants
from accessmgmt.provisioning.end.batch import Batch
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session.conversation import Session
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.stack import wait_for_replay
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, make_shop, new_order, permissions


@dataclass
class Three:
    """A primary at 127.0.0.1 with standbys at 127.0.0.2 and 127.0.0.3, all on one port."""

    shop: Shop
    first: PostgresServer
    last: PostgresServer

    def applied(self, target: Target) -> tuple[GrantOrder, psycopg.Connection]:
        """Apply a grant, and open a session of its login on the last standby."""
        order = new_order(permissions("SELECT", "app", "orders"))
        receipt = apply_grant(target, order)
        wait_for_replay(self.first, self.last)
        user = self.last.connect(self.shop.database, order.login.role_name, order.password)
        return as_made(order, role_oid=receipt.role_oid), user


@pytest.fixture
def three(servers_directory: Path, certificate_authority: CertificateAuthority) -> Iterator[Three]:
    tls = certificate_authority.server(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    first = PostgresServer(17, servers_directory / "three-1", tls=tls, durable=False).start()
    shop = make_shop(first, certificate_authority, is_superuser=False)
    standbys = [
        first.create_standby(
            servers_directory / f"three-{number}", tls=tls, port=first.port, listen=f"127.0.0.{number}"
        ).start()
        for number in (2, 3)
    ]
    yield Three(shop, first, standbys[-1])
    close_pools()
    for server in (*standbys, first):
        server.destroy()


def test_each_standby_of_a_linked_list(three: Three) -> None:
    primary = replace(three.shop.target, name="main", host="127.0.0.1")
    order, user = three.applied(replace(primary, name="replicas", host="127.0.0.2,127.0.0.3", primary=primary))
    end_grant(replace(primary, name="replicas", host="127.0.0.2,127.0.0.3", primary=primary), to_end(order))
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")


def test_a_host_for_which_no_time_was_left_keeps_the_grant_ending(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = replace(three.shop.target, name="list", host="127.0.0.1,127.0.0.2,127.0.0.3")
    order, user = three.applied(target)
    verify = grants._verify_absence

    def take_all_the_time(session: Session, batch: Batch) -> None:
        verify(session, batch)
        if "127.0.0.2" in session.target_name:
            batch.budget.seconds = 0

    monkeypatch.setattr(grants, "_verify_absence", take_all_the_time)
    with pytest.raises(TargetUnavailable):
        end_grant(target, to_end(order))
    monkeypatch.undo()
    end_grant(target, to_end(order))
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
