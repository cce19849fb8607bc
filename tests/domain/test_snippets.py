"""Snippets are read back by the parser of the language or tool that they are for."""

import ast
import json
import re
import shlex
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from accessmgmt.domain import snippets
from accessmgmt.domain.snippets import Connection

PLAIN = Connection("db.example.com", 5432, "production", "jit_alice_0123456789")
NASTY_NAMES = [
    "it's",
    'say "hi"',
    "back\\slash",
    "$HOME `id` $(id)",
    "a b",
    "a=b",
    "ünï/cødé",
    "a:b@c?d#e&f%20",
    "+plus+",
    "\u2028line",
    "#!x",
    "tab\tnew\nline",
]
NASTY = [
    Connection("db.example.com", 5432, name, "jit_x_0123456789", "verify-full", f"{name}.pem") for name in NASTY_NAMES
]


def code(snippet: snippets.Snippet) -> str:
    return snippet.blocks[0].text


@pytest.mark.parametrize("connection", [PLAIN, *NASTY], ids=lambda c: repr(c.database))
class TestReadBack:
    def test_psql_is_one_shell_word_that_libpq_reads(self, connection: Connection) -> None:
        words = shlex.split(code(snippets.psql(connection)))
        assert words[0] == "psql"
        assert len(words) == 2
        read = conninfo_to_dict(words[1])
        assert (read["host"], read["dbname"], read["user"]) == (
            connection.host,
            connection.database,
            connection.user,
        )
        assert read["sslmode"] == connection.mode

    def test_the_url_is_read_by_libpq(self, connection: Connection) -> None:
        read = conninfo_to_dict(snippets.connection_url(connection, password="p@ss:w/rd?#%"))
        assert read["dbname"] == connection.database
        assert read["password"] == "p@ss:w/rd?#%"
        assert read["port"] == "5432"
        assert read.get("sslrootcert", "") == connection.ca_file

    def test_python_parses_to_the_same_arguments(self, connection: Connection) -> None:
        tree = ast.parse(code(snippets.python(connection)))
        call = next(node for node in ast.walk(tree) if isinstance(node, ast.Call))
        values = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
        assert values["dbname"] == connection.database
        assert values["port"] == 5432
        assert any(k.arg == "password" and isinstance(k.value, ast.Subscript) for k in call.keywords)

    def test_node_holds_json_strings(self, connection: Connection) -> None:
        literal = re.search(r"^  database: (.*),$", code(snippets.node(connection)), re.M)
        assert literal is not None
        assert json.loads(literal[1]) == connection.database

    def test_go_holds_the_url(self, connection: Connection) -> None:
        literal = re.search(r"pgx\.Connect\(ctx, (\".*\")\)", code(snippets.go(connection)))
        assert literal is not None
        assert conninfo_to_dict(json.loads(literal[1]))["dbname"] == connection.database

    def test_jdbc_percent_encodes(self, connection: Connection) -> None:
        literal = re.search(r"String url = (\".*\");", code(snippets.jdbc(connection)))
        assert literal is not None
        parts = urlsplit(json.loads(literal[1]).removeprefix("jdbc:"))
        assert unquote(parts.path) == f"/{connection.database}"
        assert dict(parse_qsl(parts.query)).get("sslmode") == connection.mode

    def test_pgpass_has_five_fields(self, connection: Connection) -> None:
        line = snippets.files(connection, service="x").blocks[1].text
        found = re.fullmatch(":".join([r"((?:\\.|[^:\\])*)"] * 5), line, flags=re.S)
        assert found is not None
        fields = [re.sub(r"\\(.)", r"\1", field, flags=re.S) for field in found.groups()]
        assert fields == [connection.host, "5432", connection.database, connection.user, "PASSWORD"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("::1", "[::1]:5432"),
        ("fe80::1%eth0", "[fe80::1%25eth0]:5432"),
        ("/run/postgresql", "%2Frun%2Fpostgresql:5432"),
        ("a.example.com,b.example.com", "a.example.com:5432,b.example.com:5432"),
    ],
)
def test_hosts_that_are_no_plain_names(host: str, expected: str) -> None:
    connection = Connection(host, 5432, "d", "u")
    url = snippets.connection_url(connection)
    assert f"@{expected}/" in url
    if "%" not in host:  # libpq keeps %25 of a zone as it decodes the whole host
        assert conninfo_to_dict(url)["host"] == host
    assert conninfo_to_dict(shlex.split(code(snippets.psql(connection)))[1])["host"] == host


@pytest.mark.parametrize(
    ("mode", "node_ssl"),
    [
        ("", "{ rejectUnauthorized: false }"),
        ("disable", "false"),
        ("require", "{ rejectUnauthorized: false }"),
        ("verify-ca", "checkServerIdentity: () => undefined"),
        ("verify-full", "rejectUnauthorized: true"),
    ],
)
def test_each_tab_honours_the_ssl_mode(mode: str, node_ssl: str) -> None:
    connection = Connection("h", 5432, "d", "u", mode, "ca.pem")
    written = mode or "prefer"
    assert node_ssl in code(snippets.node(connection))
    for tab in (snippets.psql, snippets.url, snippets.go, snippets.jdbc):
        assert f"sslmode={written}" in code(tab(connection))
        assert ("sslrootcert=ca.pem" in code(tab(connection))) == mode.startswith("verify")
    assert f'sslmode="{written}"' in code(snippets.python(connection))


def test_verify_full_without_a_ca_file_uses_the_systems_authorities() -> None:
    connection = Connection("h", 5432, "d", "u", "verify-full")
    assert "sslrootcert=system" in code(snippets.psql(connection))
    assert "sslrootcert" not in code(snippets.go(connection))
    assert "DefaultJavaSSLFactory" in code(snippets.jdbc(connection))
    assert "ssl: true" in code(snippets.node(connection))


def test_unknown_host_and_database_are_words_to_replace() -> None:
    tabs = snippets.snippets_for(Connection("", 5432, "", "u"), service="billing")
    assert "host=HOST" in tabs[0].blocks[0].text
    assert "/DATABASE" in tabs[1].blocks[0].text


def test_the_service_file_names_its_section_safely() -> None:
    block = snippets.files(PLAIN, service="prod ] [evil]\nhost=x").blocks[0]
    assert block.text.splitlines()[0] == "[prod-evil-host-x]"
    assert "dbname=production" in block.text


def test_no_tab_holds_a_password() -> None:
    for tab in snippets.snippets_for(PLAIN, service="x"):
        assert not re.search(r"password\s*[:=]\s*['\"]", " ".join(block.text for block in tab.blocks))
