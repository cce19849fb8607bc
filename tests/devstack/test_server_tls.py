"""Servers with certificates of an authority made on the spot are verified in full, and wrong ones refused."""

import psycopg
import pytest

from devstack.certs import CertificateAuthority
from devstack.postgres import VERSIONS, PostgresServer


@pytest.fixture
def root_certificate(certificate_authority, tmp_path):
    return str(certificate_authority.write(tmp_path / "ca.crt"))


def is_encrypted(conn: psycopg.Connection) -> bool:
    return conn.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_verify_full(target_server, root_certificate, version):
    options = {"sslmode": "verify-full", "sslrootcert": root_certificate, "channel_binding": "require"}
    with target_server(version).connect(**options) as conn:
        assert is_encrypted(conn)


def test_a_wrong_authority_is_refused(target_server, tmp_path):
    other = str(CertificateAuthority("Other").write(tmp_path / "other.crt"))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        target_server(18).connect(sslmode="verify-full", sslrootcert=other)


def test_a_wrong_name_is_refused(target_server, root_certificate):
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        target_server(18).connect(host="db.company.com", sslmode="verify-full", sslrootcert=root_certificate)


def test_an_expired_certificate_is_refused(certificate_authority, root_certificate, server_folder):
    tls = certificate_authority.expired_server()
    with (
        PostgresServer(18, server_folder / "expired", tls=tls, durable=False) as server,
        pytest.raises(psycopg.OperationalError, match="certificate verify failed"),
    ):
        server.connect(sslmode="verify-full", sslrootcert=root_certificate)


def test_a_client_certificate_is_asked_for(certificate_authority, server_folder, tmp_path):
    hba = ["hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full"]
    certificate, key, root = certificate_authority.client("postgres").write(tmp_path / "client", "postgres")
    files = {"sslcert": str(certificate), "sslkey": str(key), "sslrootcert": str(root), "sslmode": "verify-full"}
    with PostgresServer(
        18, server_folder / "server", tls=certificate_authority.server(), hba=hba, durable=False
    ) as server:
        with server.connect(**files) as conn:
            assert is_encrypted(conn)
        with pytest.raises(psycopg.OperationalError, match="certificate"):
            server.connect()
