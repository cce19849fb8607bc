"""A second apply compares nothing again, unless anything in the catalog has changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from accessmgmt.domain.names import Installation
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import ApplyReceipt
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.privileges import catalog_cache
from accessmgmt.provisioning.session import conversation
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import INSTALLATION, Shop, new_installation, new_order, permissions

COMPARED = "read the capability role's drift"


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The descriptions of the statements that were sent."""
    found: list[str] = []
    conversation.before_statement = found.append
    yield found
    conversation.before_statement = None


def apply_once(
    shop: Shop, wanted: PermissionSet, sent: list[str], installation: Installation = INSTALLATION
) -> tuple[ApplyReceipt, bool]:
    """Apply and end a fresh login; return the receipt and whether the tables were compared."""
    sent.clear()
    order = of_installation(new_order(wanted), installation)
    receipt = apply_grant(shop.target, order)
    was_compared = COMPARED in sent
    end_grant(shop.target, to_end(order))
    return receipt, was_compared


def as_owner(shop: Shop, *statements: str, role: str = "") -> None:
    with shop.as_dba() as conn:
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{shop.database}_owner")))
        for statement in statements:
            conn.execute(sql.SQL(statement).format(role=sql.Identifier(role)))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [18, 14])
def test_nothing_is_compared_twice(new_shop: Callable[..., Shop], sent: list[str], version: int) -> None:
    shop = new_shop(version)
    wanted = permissions("SELECT,INSERT", "app", "*")
    first, was_compared = apply_once(shop, wanted, sent)
    assert was_compared
    second, was_compared = apply_once(shop, wanted, sent)
    assert not was_compared
    assert (second.tables, second.table_count, second.unmatched) == (first.tables, first.table_count, first.unmatched)
    assert second.verified_at > first.verified_at


CHANGES = [
    "REVOKE SELECT ON app.orders FROM {role}",
    "GRANT UPDATE ON app.orders TO {role}",
    "GRANT SELECT ON secret.salaries TO {role}",
    "CREATE TABLE app.brand_new (id int)",
    "DROP TABLE app.events_2025",
    "ALTER TABLE app.events_2025 RENAME TO other",
    "REVOKE USAGE ON SCHEMA app FROM {role}",
    "GRANT CREATE ON SCHEMA app TO {role}",
    "REVOKE USAGE ON SEQUENCE app.orders_id_seq FROM {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM {role}",
    "REVOKE CONNECT ON DATABASE {database} FROM {role}",
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_changed_since_is_seen_and_mended(
    new_shop: Callable[..., Shop], sent: list[str], change: str
) -> None:
    shop = new_shop()
    wanted = permissions("SELECT,INSERT", "app", "*")
    apply_once(shop, wanted, sent)
    assert not apply_once(shop, wanted, sent)[1]
    as_owner(
        shop, change.replace("{database}", f'"{shop.database}"'), role=wanted.capability_role_name(INSTALLATION.id)
    )
    receipt, was_compared = apply_once(shop, wanted, sent)
    assert was_compared
    assert all(set(table.privileges) == {"SELECT", "INSERT"} for table in receipt.tables)
    assert not apply_once(shop, wanted, sent)[1], "in order again"


def test_a_capability_role_that_was_made_anew_is_compared(new_shop: Callable[..., Shop], sent: list[str]) -> None:
    shop = new_shop()
    wanted, alone = permissions("SELECT", "app", "orders"), new_installation()
    apply_once(shop, wanted, sent, alone)
    with shop.as_dba() as conn:
        role = sql.Identifier(of_installation(new_order(wanted), alone).set.capability)
        conn.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(role=role))
    assert apply_once(shop, wanted, sent, alone)[1]


def test_what_was_found_is_believed_for_a_minute(
    new_shop: Callable[..., Shop], sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = new_shop()
    wanted = permissions("SELECT", "app", "orders")
    apply_once(shop, wanted, sent)
    monkeypatch.setattr(catalog_cache, "RECALL_SECONDS", 0.0)
    assert apply_once(shop, wanted, sent)[1]
