"""What the admin credential may be, on every version: enough works; what is missing is named with its mending SQL."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from psycopg import sql

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import Rung, RungState, Target
from accessmgmt.provisioning.apply.grant import apply_grant
from accessmgmt.provisioning.check import ladder
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.provisioning.session import missing_rights
from devstack.certs import CertificateAuthority
from devstack.postgres import VERSIONS, PostgresServer
from devstack.recipe import ConnectBy, grant_with_option, prepare_target
from tests.orders import to_end
from tests.provisioning.conftest import (
    ADMIN_PASSWORD,
    INSTALLATION,
    SHOP,
    Shop,
    make_shop,
    new_order,
    permissions,
    target_of,
)
from tests.provisioning.dba import do_as_told, sql_in


def crud() -> PermissionSet:
    """A permission set of its own: its capability role is nobody else's on the shared server."""
    return permissions("SELECT,INSERT,UPDATE,DELETE", "app", f"orders,customers,none_{secrets.token_hex(3)}")


def climb(target: Target) -> dict[str, Rung]:
    close_pools()  # a session keeps the role it stepped into
    return {rung.name: rung for rung in ladder.test_connection(target, (), INSTALLATION)}


def works(shop: Shop, target: Target) -> None:
    """Give access with this credential, use it, take it away, and look."""
    order = new_order(crud())
    receipt = apply_grant(target, order)
    with shop.log_in(order) as user:
        user.execute("INSERT INTO app.orders (item) VALUES ('cake')")
    end_grant(target, to_end(order, role_oid=receipt.role_oid))
    assert shop.roles(order) == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_superuser", [True, False])
def test_a_superuser_and_the_recipe_are_enough(
    shops: Callable[[int, bool], Shop], version: int, is_superuser: bool
) -> None:
    shop = shops(version, is_superuser)
    rungs = climb(shop.target)
    assert [r for r in rungs.values() if r.name != "Schemas" and r.state is not RungState.PASSED] == []
    works(shop, shop.target)


@pytest.mark.parametrize("version", [18, 14])
def test_schemas_in_which_everybody_may_create(new_shop: Callable[..., Shop], version: int) -> None:
    """Up to 14 public is one; the SQL that is shown shuts them."""
    shop = new_shop(version)
    schemas = ["public"] if version == 14 else []
    assert climb(shop.target)["Schemas"].state is (RungState.WARNED if schemas else RungState.PASSED)
    with shop.as_dba() as dba:
        dba.execute('CREATE SCHEMA "Play Ground"; GRANT CREATE ON SCHEMA "Play Ground" TO PUBLIC')
        listed = ['"Play Ground"', *schemas]
        rung = climb(shop.target)["Schemas"]
        assert (rung.state, ", ".join(listed) in rung.detail) == (RungState.WARNED, True)
        assert sql_in(rung.fix) == " ".join(f"REVOKE CREATE ON SCHEMA {name} FROM PUBLIC;" for name in listed)
        do_as_told(shop, rung.fix)
    assert climb(shop.target)["Schemas"].state is RungState.PASSED


@dataclass
class Bare:
    """A server of its own where nothing is set up yet but a shop and a login."""

    shop: Shop
    owner: str
    login: str
    target: Target

    def run(self, text: str) -> None:
        with self.shop.as_dba() as conn:
            conn.execute(text)  # type: ignore[arg-type]


@pytest.fixture(params=VERSIONS)
def bare(
    request: pytest.FixtureRequest,
    target_server: Callable[[int], PostgresServer],
    certificate_authority: CertificateAuthority,
) -> Bare:
    """A shop whose owner nobody holds, on a server where jit_portal is as the recipe makes it, and a plain login."""
    server = target_server(request.param)
    made = make_shop(server, certificate_authority, is_superuser=True, tables=SHOP)
    owner, login = f"{made.database}_owner", f"plain_{secrets.token_hex(4)}"
    with made.as_dba() as conn:
        verifier = conn.pgconn.encrypt_password(ADMIN_PASSWORD.encode(), login.encode(), b"scram-sha-256").decode()
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login), sql.Literal(verifier)))
        conn.execute(sql.SQL("REVOKE {} FROM jit_portal").format(sql.Identifier(owner)))
        conn.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(made.database)))
    return Bare(made, owner, login, target_of(server, certificate_authority, made.database, login))


def test_each_missing_piece_is_named_with_the_sql_that_mends_it(bare: Bare) -> None:
    """From a bare login to a working set-up by nothing but the SQL that the ladder shows."""
    rung = climb(bare.target)["Log-in"]
    assert (rung.state, "may not connect to the database" in rung.detail) == (RungState.FAILED, True)
    bare.run(sql_in(rung.fix))

    version = bare.shop.server.version
    rung = climb(bare.target)["Rights"]
    assert rung.state is RungState.FAILED
    option = " WITH INHERIT FALSE, SET TRUE" if version >= 16 else ""
    assert f'GRANT "jit_portal" TO "{bare.login}"{option};' in rung.fix
    assert f'GRANT CONNECT ON DATABASE "{bare.shop.database}" TO "jit_portal" WITH GRANT OPTION;' in rung.fix
    bare.run(rung.fix)

    rungs = climb(bare.target)
    assert rungs["Rights"].state is RungState.PASSED, rungs["Rights"]
    rung = rungs["Owners of tables"]
    assert rung.state is RungState.FAILED
    assert bare.owner in rung.detail
    bare.run(rung.fix)

    rungs = climb(bare.target)
    if version >= 16:
        assert rungs["Connections"].state is RungState.WARNED
        bare.run(rungs["Connections"].fix)
        rungs = climb(bare.target)
    assert [r for r in rungs.values() if r.name != "Schemas" and r.state is not RungState.PASSED] == []
    works(bare.shop, bare.target)


def test_a_log_in_that_does_the_work_itself(bare: Bare) -> None:
    """No jit_portal is stepped into: the login has CREATEROLE itself, and lacks the rest, piece by piece."""
    bare.run(f"ALTER ROLE {bare.login} CREATEROLE; GRANT CONNECT ON DATABASE {bare.shop.database} TO {bare.login}")
    expected = {
        "may not pass on CONNECT": f'ON DATABASE "{bare.shop.database}" TO "{bare.login}" WITH GRANT OPTION;',
        "cannot hand objects over to jit_quarantine": f'GRANT "jit_quarantine" TO "{bare.login}"',
    }
    for words, fix in expected.items():
        rung = climb(bare.target)["Rights"]
        assert rung.state is RungState.FAILED
        assert words in rung.detail
        assert fix in rung.fix
        bare.run(next(f"{part};" for part in rung.fix.split(";") if fix.rstrip(";") in part))
        assert words not in climb(bare.target)["Rights"].detail
    rung = climb(bare.target)["Rights"]
    assert (rung.state, "pg_signal_backend" in rung.detail) == (RungState.WARNED, True)
    bare.run(rung.fix)
    assert climb(bare.target)["Rights"].state is RungState.PASSED
    bare.run(climb(bare.target)["Owners of tables"].fix)
    works(bare.shop, bare.target)


def test_grant_options_instead_of_membership_are_enough(
    target_server: Callable[[int], PostgresServer], certificate_authority: CertificateAuthority, bare: Bare
) -> None:
    login = f"jit_login_{secrets.token_hex(3)}"
    with bare.shop.as_dba() as conn:
        prepare_target(
            conn,
            login=login,
            password=ADMIN_PASSWORD,
            databases=[bare.shop.database],
            connect_by=ConnectBy.GRANT_OPTION,
        )
        conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(bare.owner)))
        grant_with_option(conn, schemas=["app", "secret"])
    target = replace(bare.target, username=login)
    rungs = climb(target)
    assert RungState.FAILED not in {r.state for r in rungs.values()}, rungs
    works(bare.shop, target)


@pytest.mark.parametrize("version", [16, 17, 18])
def test_roles_from_before_an_upgrade_to_16(new_shop: Callable[..., Shop], version: int) -> None:
    """Roles that an upgrade brought along have no ADMIN row for jit_portal: here a superuser made them."""
    shop = new_shop(version)
    superuser = replace(shop.target, username="postgres", password=shop.server.password)
    old = new_order(crud())
    receipt = apply_grant(superuser, old)
    rung = climb(shop.target)["Rights"]
    assert rung.state is RungState.FAILED
    assert "has no ADMIN option on 2 roles" in rung.detail
    assert old.login.role_name in rung.fix
    with pytest.raises(TargetRefused):
        end_grant(shop.target, to_end(old, role_oid=receipt.role_oid))

    with shop.as_dba() as conn:
        conn.execute(rung.fix)  # type: ignore[arg-type]

    assert climb(shop.target)["Rights"].state is RungState.PASSED
    end_grant(shop.target, to_end(old, role_oid=receipt.role_oid))
    assert shop.roles(old) == 0
    works(shop, shop.target)


def test_a_role_without_createrole() -> None:
    """The recipe's jit_portal is shared by all tests of a server: what it lacks is decided on the row alone."""
    row = {
        "login": "jit_login_a",
        "worker": "jit_portal",
        "database": "shop",
        "is_stepped_in": True,
        "may_create_roles": False,
        "may_pass_connect": True,
        "lacks_quarantine": None,
        "not_administered": [],
    }
    [missing] = missing_rights.missing_in(row, 18)
    assert missing.advice.as_sql() == 'ALTER ROLE "jit_portal" CREATEROLE;'
    assert missing_rights.missing_in({**row, "may_create_roles": True}, 18) == []


@pytest.mark.parametrize("version", [14, 18])
def test_the_recipe_s_role_loses_its_rights(
    servers_directory: Path, certificate_authority: CertificateAuthority, version: int
) -> None:
    """On a server of its own: CREATEROLE is taken from jit_portal, and given back."""
    server = PostgresServer(version, servers_directory / f"rights-{version}", tls=certificate_authority.server())
    with server:
        shop = make_shop(server, certificate_authority, is_superuser=False)
        server.execute("ALTER ROLE jit_portal NOCREATEROLE")
        rung = climb(shop.target)["Rights"]
        assert (rung.state, rung.detail) == (RungState.FAILED, "Jit_portal may not create roles.")
        server.execute(rung.fix)  # type: ignore[arg-type]
        assert climb(shop.target)["Rights"].state is RungState.PASSED
        works(shop, shop.target)
        close_pools()
