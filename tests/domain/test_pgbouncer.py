"""The texts of a PgBouncer: what a resource says goes into them, quoted, and nothing secret."""

from __future__ import annotations

import configparser
from dataclasses import replace

import pytest

from accessmgmt.domain.pgbouncer import Pooling, pgbouncer_files

POOLING = Pooling("production", "db.company.net", 5432, "production", "verify-full", True, 100, 10)


def ini(pooling: Pooling) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(pgbouncer_files(pooling)[0].text)
    return parser


def test_the_resource_s_pool_settings_bound_the_pool() -> None:
    settings = ini(POOLING)["pgbouncer"]
    assert settings["max_db_connections"] == "100"
    assert settings["min_pool_size"] == "10"
    assert settings["default_pool_size"] == "20"
    assert settings["server_tls_sslmode"] == "verify-full"
    assert settings["server_tls_ca_file"] == "/etc/pgbouncer/server-ca.pem"


def test_what_is_absent_is_not_invented() -> None:
    settings = ini(Pooling("x", "db", 5432, "d"))["pgbouncer"]
    assert "max_db_connections" not in settings
    assert settings["min_pool_size"] == "0"
    assert settings["server_tls_sslmode"] == "prefer"
    assert "server_tls_ca_file" not in settings


@pytest.mark.parametrize(("largest", "smallest", "sizes"), [(5, 3, (5, 3)), (5, 5, (5, 5)), (200, 50, (20, 20))])
def test_a_login_s_pool_is_never_larger_than_its_limit(largest: int, smallest: int, sizes: tuple[int, int]) -> None:
    settings = ini(replace(POOLING, max_connections=largest, min_connections=smallest))["pgbouncer"]
    assert (int(settings["default_pool_size"]), int(settings["min_pool_size"])) == sizes


@pytest.mark.parametrize(
    ("mode", "has_authority", "file"),
    [
        ("verify-full", False, "/etc/ssl/certs/ca-certificates.crt"),
        ("require", True, "/etc/pgbouncer/server-ca.pem"),
        ("require", False, None),
        ("disable", True, None),
    ],
)
def test_the_authority_that_counts(mode: str, has_authority: bool, file: str | None) -> None:
    settings = ini(replace(POOLING, ssl_mode=mode, has_root_certificate=has_authority))["pgbouncer"]
    assert settings.get("server_tls_ca_file") == file


def test_names_are_quoted() -> None:
    text = pgbouncer_files(replace(POOLING, database='O\'Brien "x"'))
    assert '"O\'Brien ""x""" = host=db.company.net port=5432 dbname=\'O\'\'Brien "x"\'' in text[0].text
    assert 'GRANT CONNECT ON DATABASE "O\'Brien ""x""" TO jit_pgbouncer;' in text[2].text
    injected = pgbouncer_files(replace(POOLING, name="a\n[databases]\nb"))[0].text
    assert injected.count("\n[databases]\n") == 1


def test_of_a_list_the_first_host_is_taken_and_the_rest_named() -> None:
    text = pgbouncer_files(replace(POOLING, host="a.net,b.net"))[0].text
    assert "host=a.net port" in text
    assert "; The others: b.net" in text
