"""A name in double quotes means exactly one table, also where it looks like a pattern or like a schema and a table."""

from __future__ import annotations

import psycopg
import pytest

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.permissions import parse_permissions, read_permissions
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, make_shop, new_installation, new_order

TABLES = {"a.b": '"a.b"', "ev*": '"ev*"', "event_1": "event_1", 'say "hi"': '"say ""hi"""', "Orders": '"Orders"'}
"""What a table is called, and how SQL writes it."""


@pytest.fixture(scope="module", params=[14, 18])
def named(request: pytest.FixtureRequest, target_server, certificate_authority) -> Shop:  # type: ignore[no-untyped-def]
    """A shop whose schema `app` has tables of awkward names beside those that a pattern would mean."""
    shop = make_shop(target_server(request.param), certificate_authority, is_superuser=False)
    with shop.as_dba() as conn:
        for written in TABLES.values():
            conn.execute(f"CREATE TABLE app.{written} (id int)")  # type: ignore[arg-type]
            conn.execute(f"ALTER TABLE app.{written} OWNER TO {shop.database}_owner")  # type: ignore[arg-type]
    return shop


@pytest.mark.parametrize(
    ("entry", "reached"),
    [
        ('"a.b"', {"a.b"}),
        ('"ev*"', {"ev*"}),
        ('"say ""hi"""', {'say "hi"'}),
        ('"Orders"', {"Orders"}),
        ("event_*", {"event_1"}),
    ],
)
def test_an_entry_reaches_the_tables_that_it_means(named: Shop, entry: str, reached: set[str]) -> None:
    said = read_permissions({"grants": ["SELECT"], "schemas": ["app"], "tables": [entry]})
    order = of_installation(new_order(parse_permissions(said)), new_installation())
    receipt = apply_grant(named.target, order)
    assert {access.table for access in receipt.tables} == reached
    with named.log_in(order) as user:
        for name, written in TABLES.items():
            if name in reached:
                user.execute(f"SELECT FROM app.{written}")  # type: ignore[arg-type]
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    user.execute(f"SELECT FROM app.{written}")  # type: ignore[arg-type]
    end_grant(named.target, to_end(order, role_oid=receipt.role_oid))


def test_an_exact_name_that_is_not_there_is_not_read_as_a_pattern(named: Shop) -> None:
    said = {"grants": ["SELECT"], "schemas": ["app"], "tables": ['"even*"']}
    order = of_installation(new_order(parse_permissions(said)), new_installation())
    with pytest.raises(TargetRefused, match="Nothing on"):
        apply_grant(named.target, order)
