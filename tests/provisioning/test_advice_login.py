"""What keeps a login out is said in the server's own words, and what the portal advises lets it in, on 14 and on 18."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import Rung, RungState, SslMode, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check.ladder import test_connection as climb
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.statements import advice_login
from devstack.postgres import PostgresServer
from tests.orders import to_end
from tests.provisioning.advised import proves
from tests.provisioning.conftest import ADMIN_PASSWORD, Shop, new_order, permissions
from tests.provisioning.dba import do_as_told

ORDERS = permissions("SELECT", "app", "orders")


@dataclass
class House:
    """A shop on a server of its own, whose doors a test may shut."""

    shop: Shop

    def lines(self, *lines: str) -> None:
        """Replace pg_hba.conf; the superuser is always let in."""
        self.shop.server.hba = ["hostssl all postgres 127.0.0.0/8 scram-sha-256", *lines]
        self.shop.server.reload()

    def line(self, who: str, method: str = "scram-sha-256", kind: str = "hostssl") -> str:
        return f"{kind} all {who} 127.0.0.0/8 {method}"

    def run(self, text: str, **names: str) -> None:
        names = {"db": self.shop.database, "login": self.shop.target.username, **names}
        with self.shop.as_dba() as conn:
            conn.execute(sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in names.items()}))  # type: ignore[arg-type]

    def rung(self, target: Target | None = None) -> Rung:
        close_pools()
        return next(rung for rung in climb(target or self.shop.target) if rung.name == "Log-in")

    def refused(self) -> TargetRefused:
        """Ask for access, which has to be refused, and clean up behind it."""
        order = new_order(ORDERS)
        with pytest.raises(TargetRefused) as refusal:
            apply_grant(self.shop.target, order)
        end_grant(self.shop.target, to_end(order))
        assert order.login.role_name not in refusal.value.todo, "its name is never used again"
        return refusal.value

    def works(self) -> None:
        order = new_order(ORDERS)
        receipt = apply_grant(self.shop.target, order)
        self.shop.log_in(order).close()
        end_grant(self.shop.target, to_end(order, role_oid=receipt.role_oid))


@pytest.fixture(params=[14, 18])
def house(
    request: pytest.FixtureRequest, own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> Iterator[House]:
    return House(shop_on(own_server(request.param)))


@proves(advice_login.let_people_in)
@pytest.mark.parametrize("method", ["", "reject", "cert", "scram-sha-256 clientcert=verify-full", "password", "trust"])
def test_a_pg_hba_that_does_not_let_people_in_with_a_password(house: House, method: str) -> None:
    """The advised line lets in the next login as well: it names none of them."""
    mine = house.line(f'"{house.shop.target.username}"')
    house.lines(mine, *([house.line("all", method)] if method else []))
    refusal = house.refused()
    assert refusal.sqlstate in {"28000", "28P01", ""}
    do_as_told(house.shop, refusal.todo)
    house.works()
    house.works()


@proves(advice_login.let_in)
@pytest.mark.parametrize("method", ["", "reject", "password", "trust"])
def test_a_pg_hba_that_does_not_let_the_portal_in(house: House, method: str) -> None:
    house.lines(*([house.line("all", method)] if method else []))
    rung = house.rung()
    assert rung.state is RungState.FAILED
    do_as_told(house.shop, rung.fix)
    assert house.rung().state is RungState.PASSED


def test_the_portal_is_let_in_where_nothing_is_encrypted(house: House) -> None:
    plain = replace(house.shop.target, ssl_mode=SslMode.DISABLE, tls_root_cert="")
    house.lines()
    rung = house.rung(plain)
    do_as_told(house.shop, rung.fix)
    assert house.rung(plain).state is RungState.PASSED


@proves(advice_login.allow_log_in)
def test_a_log_in_that_lost_its_right_to_log_in(house: House) -> None:
    house.run("ALTER ROLE {login} NOLOGIN")
    rung = house.rung()
    assert rung.state is RungState.FAILED
    do_as_told(house.shop, rung.fix)
    assert house.rung().state is RungState.PASSED


@proves(advice_login.set_password)
@pytest.mark.parametrize("trouble", ["PASSWORD 'another'", "VALID UNTIL '2001-01-01'", "md5"])
def test_a_password_that_does_not_hold(house: House, trouble: str) -> None:
    if trouble == "md5":
        house.lines(house.line("all", "md5"))
        house.run(f"SET password_encryption = 'md5'; ALTER ROLE {{login}} PASSWORD '{ADMIN_PASSWORD}'")
    else:
        house.run(f"ALTER ROLE {{login}} {trouble}")
    rung = house.rung()
    assert rung.state is RungState.FAILED
    do_as_told(house.shop, rung.fix, password=ADMIN_PASSWORD)
    assert house.rung().state is RungState.PASSED


@proves(advice_login.allow_connect)
def test_a_log_in_that_may_not_connect(house: House) -> None:
    house.run("REVOKE CONNECT ON DATABASE {db} FROM PUBLIC, {login}")
    rung = house.rung()
    assert rung.state is RungState.FAILED
    do_as_told(house.shop, rung.fix)
    assert house.rung().state is RungState.PASSED
    house.works()


@proves(advice_login.open_database)
def test_a_database_that_takes_no_connections_says_no_again(house: House) -> None:
    with house.shop.as_dba("postgres") as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(house.shop.database)))
    close_pools()
    rung = house.rung()
    assert (rung.state, "takes no connections" in rung.detail) == (RungState.FAILED, True)
    with pytest.raises(TargetRefused) as refusal:
        apply_grant(house.shop.target, new_order(ORDERS))
    assert refusal.value.sqlstate == "55000"
    do_as_told(house.shop, refusal.value.todo)
    house.works()


@pytest.mark.parametrize("shuts", ["all", "people"])
def test_a_database_that_is_shut_between_the_making_and_the_log_in(house: House, shuts: str) -> None:
    """The admin's session stays open: only the login meets the shut door."""
    order = new_order(ORDERS)
    house.works()  # a pooled session of the admin is open now
    what = {"all": "ALTER DATABASE {db} ALLOW_CONNECTIONS false", "people": "ALTER DATABASE {db} CONNECTION LIMIT 0"}
    with house.shop.as_dba("postgres") as conn:
        conn.execute(sql.SQL(what[shuts]).format(db=sql.Identifier(house.shop.database)))  # type: ignore[arg-type]
    error = TargetRefused if shuts == "all" else Exception
    with pytest.raises(error) as refusal:
        apply_grant(house.shop.target, order)
    assert getattr(refusal.value, "sqlstate", "") == ("55000" if shuts == "all" else "53300")


@proves(advice_login.disable_triggers)
def test_an_event_trigger_on_login_says_no_again(
    own_server: Callable[..., PostgresServer], shop_on: Callable[..., Shop]
) -> None:
    house = House(shop_on(own_server(18)))
    house.run(
        "CREATE FUNCTION public.only_some() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF session_user NOT IN ('postgres', {name}) THEN RAISE EXCEPTION 'not on the list'; END IF; END$$;"
        ' CREATE EVENT TRIGGER "only Some" ON login EXECUTE FUNCTION public.only_some()'.replace(
            "{name}", f"'{house.shop.target.username}'"
        )
    )
    refusal = house.refused()
    assert refusal.sqlstate == "P0001"
    assert "not on the list" in refusal.why
    assert "only Some" in refusal.todo
    do_as_told(house.shop, refusal.todo)
    house.works()


@proves(advice_login.switch_tls_on)
def test_encryption_that_is_switched_off(house: House) -> None:
    with house.shop.as_dba() as conn:
        conn.execute("ALTER SYSTEM SET ssl = off")
        conn.execute("SELECT pg_reload_conf()")
    close_pools()
    rungs = {rung.name: rung for rung in climb(house.shop.target)}
    assert rungs["Encryption"].state is RungState.FAILED
    plain = House(replace(house.shop))
    plain.shop.server.tls, tls = None, plain.shop.server.tls
    do_as_told(plain.shop, rungs["Encryption"].fix)
    plain.shop.server.tls = tls
    close_pools()
    assert {r.name: r.state for r in climb(house.shop.target)}["Encryption"] is RungState.PASSED
