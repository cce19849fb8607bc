"""What a capability role was given besides: nobody gets it unseen, and nobody can spoil a set for the others."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftChange, DriftFinding, DriftKind, DriftOrder, Severity
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.resync import check_drift
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.privileges import catalog_cache
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, new_installation, new_order, permissions
from tests.provisioning.dba import sql_in


@pytest.fixture(params=[18, 16, 14])
def shop(request: pytest.FixtureRequest, new_shop: Callable[..., Shop]) -> Shop:
    """A shop of the test's own."""
    return new_shop(request.param)


@pytest.fixture
def order(shop: Shop) -> GrantOrder:
    """An order that was applied, of an installation of its own."""
    order = new_order(permissions("SELECT", "app", "orders"))
    order = of_installation(order, new_installation())
    apply_grant(shop.target, order)
    return order


def another(order: GrantOrder) -> GrantOrder:
    """An order of the same set for somebody else."""
    other = new_order(order.set.permissions, who="bob")
    return of_installation(other, order.login.installation)


def as_dba(shop: Shop, order: GrantOrder, words: str, **names: str) -> None:
    names = {"role": order.set.capability, "db": shop.database, **names}
    with shop.as_dba() as dba:
        dba.execute(sql.SQL(words).format(**{key: sql.Identifier(name) for key, name in names.items()}))  # type: ignore[arg-type]


def findings(shop: Shop, order: GrantOrder) -> tuple[DriftFinding, ...]:
    wanted = DriftOrder(order.login.installation, (order.set.permissions,), (), frozenset({order.login.role_name}))
    return check_drift(shop.target, wanted).findings


@pytest.mark.parametrize("is_known", [True, False], ids=["compared before", "compared anew"])
def test_a_capability_role_that_became_a_member_is_given_to_nobody_new(
    shop: Shop, order: GrantOrder, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the other role has would be everybody's: with SELECT in the set pg_read_all_data shows in no check.

    Up to 15 the portal may take it out again, and does; since then only who put it there may.
    """
    if not is_known:
        monkeypatch.setattr(catalog_cache, "RECALL_SECONDS", 0.0)
    as_dba(shop, order, "GRANT pg_read_all_data TO {role}")
    [finding] = findings(shop, order)
    assert (finding.kind, finding.severity) == (DriftKind.MEMBERSHIP, Severity.ALARM)
    later = another(order)
    if shop.server.version < 16:
        changes: list[DriftChange] = []
        apply_grant(shop.target, later, changes=changes)
        assert [str(change) for change in changes] == [
            f"took the membership in pg_read_all_data from {order.set.capability}"
        ]
    else:
        with pytest.raises(TargetRefused, match="is a member of pg_read_all_data") as refusal:
            apply_grant(shop.target, later)
        assert shop.roles(later) == 0
        assert "REVOKE" in sql_in(refusal.value.todo)
        assert finding.is_for_dba
        with shop.as_dba() as dba:
            dba.execute(finding.sql)  # type: ignore[call-overload]
        apply_grant(shop.target, later)
    end_grant(shop.target, to_end(later))
    assert findings(shop, order) == ()
    end_grant(shop.target, to_end(order))


@pytest.mark.parametrize("privilege", ["CREATE", "TEMPORARY", "CONNECT"])
def test_privileges_on_the_database_are_found_and_taken_back(shop: Shop, order: GrantOrder, privilege: str) -> None:
    option = " WITH GRANT OPTION" if privilege == "CONNECT" else ""
    as_dba(shop, order, f"GRANT {privilege} ON DATABASE {{db}} TO {{role}}{option}")
    assert [(f.kind, f.severity) for f in findings(shop, order)] == [(DriftKind.PRIVILEGE, Severity.ALARM)]
    later = another(order)
    apply_grant(shop.target, later)
    with shop.as_dba() as dba:
        acl = dba.execute(
            "SELECT a.privilege_type, a.is_grantable FROM pg_database d, aclexplode(d.datacl) a"
            " WHERE d.datname = current_database() AND a.grantee = %s::regrole",
            [order.set.capability],
        ).fetchall()
    assert acl == [("CONNECT", False)]
    shop.log_in(later).close()
    for ending in (order, later):
        end_grant(shop.target, to_end(ending))


def test_a_schema_privilege_of_another_grantor_is_a_failure(shop: Shop, order: GrantOrder) -> None:
    """REVOKE says "REVOKE" and takes nothing, so it is looked at before the COMMIT."""
    helper = f"helper_{secrets.token_hex(3)}"
    as_dba(shop, order, "CREATE ROLE {helper}; GRANT CREATE ON SCHEMA app TO {helper} WITH GRANT OPTION", helper=helper)
    as_dba(shop, order, "SET ROLE {helper}; GRANT CREATE ON SCHEMA app TO {role}", helper=helper)
    later = another(order)
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(shop.target, later)
    assert refusal.value.sqlstate == "01007"
    assert shop.roles(later) == 0
    end_grant(shop.target, to_end(order))


def test_nobody_spoils_a_set_by_giving_it_something_of_their_own(shop: Shop, order: GrantOrder) -> None:
    """Everybody may make temporary tables, and grant on what is theirs to whom they like."""
    role = sql.Identifier(order.set.capability)
    with shop.as_dba() as dba:
        dba.execute("CREATE SCHEMA play; GRANT CREATE, USAGE ON SCHEMA play TO PUBLIC, jit_quarantine")
    user = shop.log_in(order)
    for words in (
        "CREATE TEMP TABLE mine (id serial); GRANT SELECT ON mine TO {0}; GRANT USAGE ON SEQUENCE mine_id_seq TO {0}",
        "CREATE TABLE play.mine (id int); GRANT ALL ON play.mine TO {0}",
    ):
        user.execute(sql.SQL(words).format(role))  # type: ignore[arg-type]
    later = another(order)
    receipt = apply_grant(shop.target, later)
    assert [table.table for table in receipt.tables] == ["orders"]
    assert "play.mine" in {finding.object for finding in findings(shop, order)}
    end_grant(shop.target, to_end(order))
    end_grant(shop.target, to_end(later))
