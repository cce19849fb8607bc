"""Logins that a prepared transaction holds on to are put off quickly: the others of the batch end with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grants
from accessmgmt.provisioning.session import conversation
from devstack.postgres import PostgresServer
from tests.orders import as_made, to_end
from tests.provisioning.conftest import Shop, new_order, permissions


def test_prepared_transactions_hold_up_no_batch(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shop_on(own_server(18, max_prepared_transactions=9))
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    orders = [new_order(permissions("SELECT", "app", "orders")) for _ in range(6)]
    orders = [as_made(order, role_oid=apply_grant(shop.target, order).role_oid) for order in orders]
    for number, order in enumerate(orders[:5]):
        with shop.log_in(order) as user:
            user.execute(f"BEGIN; CREATE TABLE play.t{number} (id int); PREPARE TRANSACTION 't{number}'")  # type: ignore[call-overload]
    sent = Counter[str]()
    monkeypatch.setattr(conversation, "before_statement", lambda description: sent.update([description]))
    *held, ended = end_grants(shop.target, [to_end(order) for order in orders])
    assert sent["wait half a second at most"] == sent["begin"]
    assert sent["drop the login role"] <= 6 + 5, "once together, and once alone where that failed"
    assert all(isinstance(outcome, TargetRefused) for outcome in held)
    assert isinstance(ended, EndReceipt)
    with shop.as_dba() as dba:
        for number in range(5):
            dba.execute(f"ROLLBACK PREPARED 't{number}'")  # type: ignore[call-overload]
    assert all(
        isinstance(outcome, EndReceipt) for outcome in end_grants(shop.target, [to_end(order) for order in orders])
    )
