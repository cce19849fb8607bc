"""Whatever GRANT ... ON knows is seen on a capability role, taken back by itself or refused to everybody new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from psycopg import sql

from accessmgmt.domain.drift import DriftChange, DriftFinding, DriftKind, DriftOrder, Severity
from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.orders import GrantOrder
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.drift.repair import repair
from accessmgmt.provisioning.drift.resync import check_drift, resync_sets
from accessmgmt.provisioning.end.grants import end_grant
from tests.orders import of_installation, to_end
from tests.provisioning.conftest import Shop, make_shop, new_installation, new_order, permissions
from tests.provisioning.dba import do_as_told, sql_in

VERSIONS = [14, 15, 16, 17, 18]
PREPARED = """
CREATE FUNCTION app.secret_sum(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE app."Do it"(INOUT a int) LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE app.last_of(int) (SFUNC = int4larger, STYPE = int);
CREATE TYPE app."Mood" AS ENUM ('good');
CREATE DOMAIN app.age AS int;
REVOKE ALL ON FUNCTION app.secret_sum, app.last_of FROM PUBLIC;
REVOKE ALL ON PROCEDURE app."Do it" FROM PUBLIC;
REVOKE ALL ON TYPE app."Mood", app.age FROM PUBLIC;
SELECT lo_create(4711);
"""


@dataclass(frozen=True)
class Case:
    """What somebody gives to a capability role. `is_ours` says that the portal holds the owner, and so may mend it."""

    name: str
    grant: str
    object: str
    is_ours: bool = True
    since: int = 14


OWNER, DBA = True, False
CASES = [
    Case("table", "GRANT SELECT ON secret.salaries TO {role}", "secret.salaries"),
    Case("column", "GRANT SELECT (amount) ON secret.salaries TO {role}", "secret.salaries"),
    Case("column of a table of the set", "GRANT UPDATE (item) ON app.orders TO {role}", "app.orders"),
    Case("right to pass on", "GRANT SELECT ON app.orders TO {role} WITH GRANT OPTION", "app.orders"),
    Case("sequence", "GRANT UPDATE ON SEQUENCE app.free_numbers TO {role}", "app.free_numbers"),
    Case("schema", "GRANT USAGE ON SCHEMA secret TO {role}", "secret"),
    Case("more on a schema of the set", "GRANT CREATE ON SCHEMA app TO {role}", "app"),
    Case("database", "GRANT CREATE ON DATABASE {db} TO {role}", ""),
    Case(
        "function",
        "GRANT EXECUTE ON FUNCTION app.secret_sum TO {role}",
        "routine app.secret_sum(integer,pg_catalog.text)",
    ),
    Case("procedure", 'GRANT EXECUTE ON PROCEDURE app."Do it" TO {role}', 'routine app."Do it"(integer)'),
    Case("aggregate", "GRANT EXECUTE ON FUNCTION app.last_of TO {role}", "routine app.last_of(integer)"),
    Case("type", 'GRANT USAGE ON TYPE app."Mood" TO {role}', 'type app."Mood"'),
    Case("domain", "GRANT USAGE ON DOMAIN app.age TO {role}", "type app.age"),
    Case("large object", "GRANT SELECT ON LARGE OBJECT 4711 TO {role}", "large object 4711"),
    Case("language", "GRANT USAGE ON LANGUAGE plpgsql TO {role}", "language plpgsql", DBA),
    Case("wrapper", "GRANT USAGE ON FOREIGN DATA WRAPPER w TO {role}", "foreign data wrapper w", DBA),
    Case("server", "GRANT USAGE ON FOREIGN SERVER s TO {role}", "foreign server s", DBA),
    Case("tablespace", "GRANT CREATE ON TABLESPACE pg_default TO {role}", "tablespace pg_default", DBA),
    Case("other database", "GRANT TEMPORARY ON DATABASE postgres TO {role}", "database postgres", DBA),
    Case("parameter", "GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO {role}", "parameter work_mem", DBA, 15),
    Case("parameter of nobody", 'GRANT SET ON PARAMETER a."group" TO {role}', 'parameter a."group"', DBA, 15),
    Case("system table", "GRANT SELECT ON pg_catalog.pg_authid TO {role}", "pg_catalog.pg_authid", DBA),
    Case("system column", "GRANT SELECT (rolpassword) ON pg_authid TO {role}", "pg_catalog.pg_authid", DBA),
    Case("system schema", "GRANT CREATE ON SCHEMA pg_catalog TO {role}", "pg_catalog", DBA),
    Case(
        "system function",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO {role}",
        "routine pg_catalog.pg_read_file(pg_catalog.text)",
        DBA,
    ),
    *(
        Case(
            f"future {words} {place}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {{owner}} {place} GRANT {privilege} ON {words} TO {{role}}",
            "new ",
            since=since,
        )
        for words, privilege, place, since in (
            ("TABLES", "INSERT", "IN SCHEMA app", 14),
            ("TABLES", "SELECT", "IN SCHEMA secret", 14),
            ("TABLES", "SELECT", "", 14),
            ("SEQUENCES", "USAGE", "IN SCHEMA app", 14),
            ("FUNCTIONS", "EXECUTE", "IN SCHEMA app", 14),
            ("TYPES", "USAGE", "IN SCHEMA app", 14),
            ("SCHEMAS", "CREATE", "", 14),
            ("LARGE OBJECTS", "SELECT", "", 18),
        )
    ),
]


class Held:
    """A capability role with a member, and what it holds; one a version, left by each test as it was found."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.wanted = permissions("SELECT", "app", "orders")
        self.order = of_installation(new_order(self.wanted), new_installation())
        self.role = self.order.set.capability
        self.names = {"role": self.role, "db": shop.database, "owner": f"{shop.database}_owner"}
        with shop.as_dba() as dba:
            dba.execute("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w")
            dba.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.names["owner"])))
            dba.execute(PREPARED)  # type: ignore[call-overload]
        apply_grant(shop.target, self.order)
        self.before = self.snapshot()

    def as_dba(self, words: str) -> None:
        with self.shop.as_dba() as dba:
            dba.execute(sql.SQL(words).format(**{key: sql.Identifier(name) for key, name in self.names.items()}))  # type: ignore[arg-type]

    def another(self) -> GrantOrder:
        return of_installation(new_order(self.wanted, who="bob"), self.order.login.installation)

    def findings(self) -> tuple[DriftFinding, ...]:
        wanted = self.drift_order()
        return check_drift(self.shop.target, wanted).findings

    def drift_order(self) -> DriftOrder:
        return DriftOrder(self.order.login.installation, (self.wanted,), (), frozenset({self.order.login.role_name}))

    def snapshot(self) -> list[object]:
        """What PostgreSQL itself says that the role holds, asked in another way than the engine does."""
        with self.shop.as_dba() as dba:
            mentions = dba.execute(
                "SELECT d.dbid, pg_describe_object(d.classid, d.objid, d.objsubid), d.deptype FROM pg_shdepend d"
                " WHERE d.refobjid = %s::regrole ORDER BY 1, 2, 3",
                [self.role],
            ).fetchall()
            lists = dba.execute(
                "SELECT relacl::text FROM pg_class WHERE oid = 'app.orders'::regclass"
                " UNION ALL SELECT nspacl::text FROM pg_namespace WHERE nspname = 'app'"
                " UNION ALL SELECT datacl::text FROM pg_database WHERE datname = current_database()"
            ).fetchall()
            mine = [sorted(item for (text,) in lists for item in text.strip("{}").split(",") if self.role in item)]
        return [*mentions, *mine]


@pytest.fixture(scope="module")
def held_on(target_server, certificate_authority) -> Iterator[Callable[[int], Held]]:  # type: ignore[no-untyped-def]
    made: dict[int, Held] = {}

    def of(version: int) -> Held:
        if version not in made:
            shop = make_shop(target_server(version), certificate_authority, is_superuser=False)
            made[version] = Held(shop)
        return made[version]

    yield of
    for held in made.values():
        end_grant(held.shop.target, to_end(held.order))


def pairs(*, ours: bool | None = None) -> pytest.MarkDecorator:
    """Each version with each case that it knows."""
    chosen = [case for case in CASES if ours is None or case.is_ours is ours]
    return pytest.mark.parametrize(
        ("version", "case"),
        [pytest.param(v, c, id=f"{v}-{c.name}") for v in VERSIONS for c in chosen if v >= c.since],
    )


@pytest.fixture
def held(version: int, held_on: Callable[[int], Held]) -> Iterator[Held]:
    found = held_on(version)
    yield found
    assert found.snapshot() == found.before, "the next test begins with what the portal gave, and nothing else"


def the_finding(held: Held, case: Case) -> DriftFinding:
    [finding] = held.findings()
    assert (finding.kind, finding.severity, finding.role) == (DriftKind.PRIVILEGE, Severity.ALARM, held.role)
    assert finding.object.startswith(case.object)
    assert (finding.is_automatic, finding.is_repairable) == (case.is_ours, case.is_ours)
    assert "REVOKE" in finding.sql
    return finding


@pairs()
def test_it_is_found_and_its_sql_takes_it_back(held: Held, case: Case) -> None:
    held.as_dba(case.grant)
    assert held.snapshot() != held.before
    finding = the_finding(held, case)
    do_as_told(held.shop, finding.sql)
    assert held.findings() == ()


@pairs(ours=True)
def test_what_the_portal_may_take_back_goes_by_itself_and_is_told(held: Held, case: Case) -> None:
    """By the re-sync, by a repair, or before the next grant: each says what it took."""
    held.as_dba(case.grant)
    report = resync_sets(held.shop.target, held.order.login.installation, [held.wanted])
    assert report.refused == {}
    [change] = [change for change in report.changes if change.is_taken]
    assert change.role == held.role
    assert case.object in change.object
    assert str(change).startswith("revoked ")
    assert held.snapshot() == held.before

    held.as_dba(case.grant)
    finding = the_finding(held, case)
    report_of_repair = repair(held.shop.target, held.drift_order(), [finding])
    assert (report_of_repair.mended, report_of_repair.refused) == ((finding,), ())
    assert held.snapshot() == held.before

    held.as_dba(case.grant)
    later = held.another()
    changes: list[DriftChange] = []
    apply_grant(held.shop.target, later, changes=changes)
    assert [change.is_taken for change in changes] == [True]
    end_grant(held.shop.target, to_end(later))


@pairs(ours=False)
def test_what_only_others_may_take_back_keeps_the_set_from_everybody_new(held: Held, case: Case) -> None:
    """Also where the set was compared a moment ago: what is called exact is exact."""
    first = held.another()
    apply_grant(held.shop.target, first)  # compared now, and remembered
    end_grant(held.shop.target, to_end(first))
    held.as_dba(case.grant)
    finding = the_finding(held, case)
    assert "given to nobody new" in finding.what
    later = held.another()
    with pytest.raises(TargetRefused, match="nobody approved") as refusal:
        apply_grant(held.shop.target, later)
    assert sql_in(finding.sql) in refusal.value.todo
    assert held.shop.roles(later) == 0
    assert repair(held.shop.target, held.drift_order(), [finding]).mended == ()
    report = resync_sets(held.shop.target, held.order.login.installation, [held.wanted])
    assert "nobody approved" in report.refused[held.role]
    do_as_told(held.shop, finding.sql)
    apply_grant(held.shop.target, later)
    end_grant(held.shop.target, to_end(later))
