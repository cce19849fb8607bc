"""The connection test: every way to fail has its own words, and a way out."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from psycopg import sql

from accessmgmt.domain.targets import Rung, RungState, SslMode, Target
from accessmgmt.provisioning.check import ladder
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from tests.provisioning.conftest import Shop, permissions


def climb(target: Target) -> dict[str, Rung]:
    rungs = {rung.name: rung for rung in ladder.test_connection(target)}
    assert all(target.password not in f"{r.detail}{r.fix}" for r in rungs.values())
    return rungs


def failure(target: Target) -> Rung:
    """Climb, and return the one rung that failed; those below passed, those above were not tried."""
    rungs = list(climb(target).values())
    failed = [i for i, rung in enumerate(rungs) if rung.state is RungState.FAILED]
    assert len(failed) == 1, rungs
    assert all(r.state in {RungState.PASSED, RungState.WARNED} for r in rungs[: failed[0]])
    assert all(r.state is RungState.SKIPPED for r in rungs[failed[0] + 1 :])
    assert rungs[failed[0]].fix
    return rungs[failed[0]]


@pytest.mark.parametrize(("version", "is_superuser"), [(18, False), (18, True), (14, False), (16, False)])
def test_a_good_server_passes_every_rung(shops: Callable[[int, bool], Shop], version: int, is_superuser: bool) -> None:
    rungs = climb(shops(version, is_superuser).target)

    warned = {name for name, rung in rungs.items() if rung.state is not RungState.PASSED}
    assert warned == ({"Schemas"} if version == 14 else set()), "everybody may create in public there"
    assert rungs["Server"].detail.startswith(f"PostgreSQL {version}.")
    assert "CN=localhost" in rungs["Encryption"].detail
    assert "824 days left" in rungs["Encryption"].detail
    assert "SCRAM-SHA-256" in rungs["Log-in"].detail


def test_a_rehearsal_leaves_nothing(shop: Shop) -> None:
    rung = climb(shop.target)["Rehearsal"]
    assert "given SELECT on " in rung.detail
    with shop.as_dba() as conn:
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE '%rehearsal%'").fetchall() == [(0,)]


def test_what_the_endpoints_give_is_rehearsed(new_shop: Callable[..., Shop]) -> None:
    """A GRANT that the server refuses for a reason that no catalog shows is found by the test, not at the first use."""
    shop = new_shop()
    refuse = """
        CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
            RAISE EXCEPTION 'no UPDATE here' USING ERRCODE = '42501'; END$$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('GRANT') EXECUTE FUNCTION public.refuse()
    """
    sets = [permissions("UPDATE", "app", "orders")]
    by_name = {rung.name: rung for rung in ladder.test_connection(shop.target, sets)}
    assert "given UPDATE on app.orders" in by_name["Rehearsal"].detail
    with shop.as_dba() as conn:
        conn.execute(refuse)  # type: ignore[call-overload]
    by_name = {rung.name: rung for rung in ladder.test_connection(shop.target, sets)}
    assert by_name["Rehearsal"].state is RungState.FAILED
    assert "42501" in by_name["Rehearsal"].detail + by_name["Rehearsal"].fix


def test_what_matches_nothing_is_named(shop: Shop) -> None:
    sets = [permissions("SELECT", "app", "orders"), permissions("SELECT", "app", "gone")]
    rung = next(r for r in ladder.test_connection(shop.target, sets) if r.name == "Rehearsal")
    assert rung.state is RungState.WARNED
    assert "given SELECT on app.orders" in rung.detail
    assert rung.detail.endswith("Nothing can be given of: SELECT on gone in app.")
    assert rung.fix


def test_an_address_is_not_resolved(shop: Shop) -> None:
    assert climb(replace(shop.target, host="127.0.0.1", ssl_mode=None))["Host name"].detail.startswith("An address")


def test_a_wrong_host_name(shop: Shop) -> None:
    rung = failure(replace(shop.target, host="nowhere.invalid"))
    assert (rung.name, "nowhere.invalid" in rung.detail) == ("Host name", True)


def test_a_closed_port(shop: Shop) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rung = failure(replace(shop.target, host="127.0.0.1", port=free.getsockname()[1]))
    assert (rung.name, "Nothing listens" in rung.detail) == ("Port", True)


def test_a_server_that_never_answers(shop: Shop, silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accessmgmt.provisioning.connect.reach.TIMEOUT_SECONDS", 0.3)
    rung = failure(replace(shop.target, port=silent_port))
    assert (rung.name, "does not answer" in rung.detail) == ("Encryption", True)


def test_a_wrong_password(shop: Shop) -> None:
    rung = failure(replace(shop.target, password="not-the-password"))
    assert rung.name == "Log-in"
    assert "does not accept the password" in rung.detail
    assert "28P01" not in rung.fix
    assert "ALTER ROLE" in rung.fix


def test_a_user_that_does_not_exist(shop: Shop) -> None:
    assert "does not accept the password" in failure(replace(shop.target, username="nobody")).detail


def test_a_database_that_does_not_exist(shop: Shop) -> None:
    rung = failure(replace(shop.target, database_name="nothing"))
    assert (rung.name, "no database “nothing”" in rung.detail) == ("Log-in", True)


def test_a_user_that_may_not_log_in(shop: Shop) -> None:
    with shop.as_dba() as conn:
        verifier = conn.pgconn.encrypt_password(b"pa55", b"sleeper", b"scram-sha-256").decode()
        conn.execute(sql.SQL("CREATE ROLE sleeper NOLOGIN PASSWORD {}").format(sql.Literal(verifier)))
    rung = failure(replace(shop.target, username="sleeper", password="pa55"))
    assert (rung.name, rung.fix) == ("Log-in", 'A DBA runs: ALTER ROLE "sleeper" LOGIN;')


def test_a_certificate_of_another_authority(shop: Shop) -> None:
    other = CertificateAuthority("Another authority")
    rung = failure(replace(shop.target, tls_root_cert=other.pem))
    assert (rung.name, "does not trust" in rung.detail) == ("Encryption", True)
    assert "CN=Test authority" in rung.detail


@pytest.fixture(scope="module")
def crooked_server(
    servers_directory: object, certificate_authority: CertificateAuthority
) -> Iterator[Callable[..., PostgresServer]]:
    """Return a function that starts a server with this certificate, or none."""
    made: list[PostgresServer] = []

    def start(**options: object) -> PostgresServer:
        server = PostgresServer(18, servers_directory / f"crooked-{len(made)}", durable=False, **options)  # type: ignore[operator,arg-type]
        made.append(server)
        return server.start()

    yield start
    for server in made:
        server.destroy()


def superuser(server: PostgresServer, authority: CertificateAuthority, mode: SslMode | None) -> Target:
    return Target(2, "crooked", "localhost", server.port, "postgres", "postgres", server.password, mode, authority.pem)


def test_broken_certificates(
    crooked_server: Callable[..., PostgresServer], certificate_authority: CertificateAuthority
) -> None:
    server = crooked_server(tls=certificate_authority.server(["db.example.com"]))
    rung = failure(superuser(server, certificate_authority, SslMode.VERIFY_FULL))
    assert (rung.name, "not for “localhost”" in rung.detail) == ("Encryption", True)
    assert "db.example.com" in rung.detail
    verify_ca = climb(superuser(server, certificate_authority, SslMode.VERIFY_CA))
    assert verify_ca["Encryption"].state is RungState.PASSED
    assert verify_ca["Rehearsal"].state is RungState.PASSED

    server.tls = certificate_authority.expired_server()
    server.reload()
    rung = failure(superuser(server, certificate_authority, SslMode.VERIFY_CA))
    assert (rung.name, "has expired" in rung.detail) == ("Encryption", True)
    # libpq's rule, kept here: with a root certificate, "require" verifies the signer too.
    assert "has expired" in failure(superuser(server, certificate_authority, SslMode.REQUIRE)).detail
    unverified = climb(replace(superuser(server, certificate_authority, SslMode.REQUIRE), tls_root_cert=""))
    assert unverified["Encryption"].state is RungState.WARNED
    assert unverified["Log-in"].state is RungState.PASSED


def test_a_server_without_tls(
    crooked_server: Callable[..., PostgresServer], certificate_authority: CertificateAuthority
) -> None:
    server = crooked_server()
    for mode in (SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL):
        rung = failure(superuser(server, certificate_authority, mode))
        assert (rung.name, "does not offer encryption" in rung.detail) == ("Encryption", True)
        assert "ssl = on" in rung.fix
    for absent in (None, SslMode.DISABLE):
        rungs = climb(superuser(server, certificate_authority, absent))
        assert "Not encrypted" in rungs["Encryption"].detail
        assert rungs["Encryption"].state is RungState.WARNED
        assert rungs["Rehearsal"].state is RungState.PASSED


def test_log_ins_that_are_not_safe(
    crooked_server: Callable[..., PostgresServer], certificate_authority: CertificateAuthority
) -> None:
    server = crooked_server(
        hba=[
            "host all postgres 127.0.0.1/32 scram-sha-256",
            "host all plain 127.0.0.1/32 password",
            "host all hashed 127.0.0.1/32 md5",
            "host all anybody 127.0.0.1/32 trust",
        ]
    )
    server.execute(
        "CREATE ROLE plain LOGIN PASSWORD 'pa55'",
        "SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'pa55'",
        "CREATE ROLE anybody LOGIN PASSWORD 'pa55'",
    )
    target = replace(superuser(server, certificate_authority, SslMode.DISABLE), password="pa55")
    for user, word in (("plain", "cleartext"), ("hashed", "md5"), ("anybody", "trust"), ("unlisted", "pg_hba.conf")):
        rung = failure(replace(target, username=user))
        assert rung.name == "Log-in"
        assert word in rung.detail, (user, rung)


def test_owners_that_are_not_held(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    with shop.as_dba() as conn:
        conn.execute(
            'CREATE ROLE "other owner"; CREATE TABLE app.theirs (id int); ALTER TABLE app.theirs OWNER TO "other owner"'
        )
    rung = climb(shop.target)["Owners of tables"]
    assert rung.state is RungState.WARNED
    assert rung.fix == 'GRANT "other owner" TO "jit_portal" WITH INHERIT TRUE, SET FALSE;'
    with shop.as_dba() as conn:
        conn.execute(rung.fix)  # type: ignore[arg-type]
    assert climb(shop.target)["Owners of tables"].state is RungState.PASSED
