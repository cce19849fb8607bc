"""Ready-to-paste connection settings, each quoted as its language or file format asks for.

The password is never part of a snippet: tools ask for it or read the environment variable PGPASSWORD. Only
`connection_url` takes one, for the page that shows it to its owner on request.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from urllib.parse import quote

UNKNOWN_HOST = "HOST"
UNKNOWN_DATABASE = "DATABASE"
UNKNOWN_PORT = "PORT"
PASSWORD_PLACEHOLDER = "PASSWORD"  # noqa: S105 - the word that a person replaces
VERIFYING = frozenset({"verify-ca", "verify-full"})


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to know to connect as one login.

    `host` may be a name, an IPv4 or IPv6 address, a socket's folder ("/run/postgresql") or a list with commas, as libpq
    takes it. `ssl_mode` is "" for libpq's own default, prefer. `ca_file` is the name of the file that the CA
    certificate is downloaded as, "" when the portal has none.
    """

    host: str
    port: int | None
    database: str
    user: str
    ssl_mode: str = ""
    ca_file: str = ""

    @property
    def known_host(self) -> str:
        """The host, or a word to replace when the portal does not know it (AWS Secrets Manager has it)."""
        return self.host or UNKNOWN_HOST

    @property
    def known_port(self) -> str:
        """The port, or a word to replace."""
        return str(self.port) if self.port else UNKNOWN_PORT

    @property
    def known_database(self) -> str:
        """The database, or a word to replace."""
        return self.database or UNKNOWN_DATABASE

    @property
    def mode(self) -> str:
        """The ssl mode to write down."""
        return self.ssl_mode or "prefer"

    @property
    def verifies(self) -> bool:
        """Whether the client checks the server's certificate."""
        return self.ssl_mode in VERIFYING


@dataclass(frozen=True, slots=True)
class Block:
    """One text to copy. `title` is a file's name when it is one, "" when there is only this block."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One tab: `key` is its id, `label` what stands on it, `note` a sentence below it."""

    key: str
    label: str
    blocks: tuple[Block, ...]
    note: str = ""


def snippets_for(connection: Connection, *, service: str) -> list[Snippet]:
    """Return the tabs in order. `service` names the section of the service file, such as the endpoint's name."""
    return [
        psql(connection),
        url(connection),
        python(connection),
        node(connection),
        go(connection),
        jdbc(connection),
        files(connection, service=service),
    ]


def psql(connection: Connection) -> Snippet:
    """Return the command line of psql: one conninfo string, quoted for a POSIX shell."""
    conninfo = " ".join(f"{key}={_conninfo_value(value)}" for key, value in _libpq_settings(connection))
    return Snippet(
        "psql", "psql", (Block(f"psql {_shell(conninfo)}"),), _note("psql asks for the password.", connection)
    )


def url(connection: Connection) -> Snippet:
    """Return the connection URL that libpq and most drivers read."""
    note = "Your tool asks for the password, or reads it from the environment variable PGPASSWORD."
    return Snippet("url", "URL", (Block(connection_url(connection)),), _note(note, connection))


def python(connection: Connection) -> Snippet:
    """Return a call of psycopg 3."""
    arguments = [f"    {key}={_python_value(value)}," for key, value in _libpq_settings(connection)]
    place = next(index for index, line in enumerate(arguments) if line.lstrip().startswith("user=")) + 1
    arguments.insert(place, '    password=os.environ["PGPASSWORD"],')
    lines = ["import os", "", "import psycopg", "", "connection = psycopg.connect(", *arguments, ")"]
    return Snippet("python", "Python", (Block("\n".join(lines)),), _note("pip install 'psycopg[binary]'", connection))


def node(connection: Connection) -> Snippet:
    """Return a client of node-postgres. It knows no lists of hosts and no "prefer"."""
    ssl, note = _node_ssl(connection)
    reads_file = "readFileSync" in ssl
    lines = [
        *(["import fs from 'node:fs';"] if reads_file else []),
        "import pg from 'pg';",
        "",
        "const client = new pg.Client({",
        f"  host: {_string(_hosts(connection)[0])},",
        f"  port: {connection.known_port},",
        f"  database: {_string(connection.known_database)},",
        f"  user: {_string(connection.user)},",
        "  password: process.env.PGPASSWORD,",
        f"  ssl: {ssl},",
        "});",
        "",
        "await client.connect();",
    ]
    return Snippet("node", "Node.js", (Block("\n".join(lines)),), note)


def go(connection: Connection) -> Snippet:
    """Return a program that connects with pgx."""
    lines = [
        "package main",
        "",
        "import (",
        '\t"context"',
        '\t"log"',
        "",
        '\t"github.com/jackc/pgx/v5"',
        ")",
        "",
        "func main() {",
        "\tctx := context.Background()",
        "\t// The password is read from the environment variable PGPASSWORD.",
        f"\tconn, err := pgx.Connect(ctx, {_string(connection_url(connection, uses_system_ca=False))})",
        "\tif err != nil {",
        "\t\tlog.Fatal(err)",
        "\t}",
        "\tdefer conn.Close(ctx)",
        "}",
    ]
    note = "Without a CA file pgx checks against the system's authorities." if _lacks_ca(connection) else ""
    return Snippet("go", "Go", (Block("\n".join(lines)),), note)


def jdbc(connection: Connection) -> Snippet:
    """Return Java code for pgjdbc. It cannot use a Unix-domain socket."""
    hosts = ",".join(f"{_url_host(host)}:{connection.known_port}" for host in _hosts(connection))
    settings = [("sslmode", connection.mode)]
    if connection.verifies:
        if connection.ca_file:
            settings.append(("sslrootcert", connection.ca_file))
        else:
            settings.append(("sslfactory", "org.postgresql.ssl.DefaultJavaSSLFactory"))
    address = f"jdbc:postgresql://{hosts}/{_percent(connection.known_database)}?{_query(settings)}"
    lines = [
        f"String url = {_string(address)};",
        f"String user = {_string(connection.user)};",
        'try (Connection connection = DriverManager.getConnection(url, user, System.getenv("PGPASSWORD"))) {',
        "    // …",
        "}",
    ]
    note = "Without a CA file Java's own trust store is used." if _lacks_ca(connection) else ""
    if any(host.startswith("/") for host in _hosts(connection)):
        note = "JDBC cannot connect through a Unix-domain socket: write the server's name."
    return Snippet("jdbc", "JDBC", (Block("\n".join(lines)),), note)


def files(connection: Connection, *, service: str) -> Snippet:
    """Return a section of the service file and lines of the password file."""
    section = re.sub(r"[^A-Za-z0-9_.-]+", "-", service).strip("-") or "database"
    settings = "\n".join(f"{key}={value}" for key, value in _libpq_settings(connection))
    passwords = "\n".join(
        ":".join(
            (
                *map(_pgpass, (host, connection.known_port, connection.known_database, connection.user)),
                PASSWORD_PLACEHOLDER,
            )
        )
        for host in _hosts(connection)
    )
    blocks = (
        Block(f"[{section}]\n{settings}", "~/.pg_service.conf"),
        Block(passwords, "~/.pgpass"),
        Block(f"chmod 600 ~/.pgpass\npsql service={section}", "Then"),
    )
    note = _note(f"Replace {PASSWORD_PLACEHOLDER}. A “:” or “\\” in a password is written “\\:” or “\\\\”.", connection)
    return Snippet("files", ".pgpass", blocks, note)


def connection_url(connection: Connection, *, password: str = "", uses_system_ca: bool = True) -> str:
    """Return `postgresql://user@host:port/database?sslmode=…`, every part percent-encoded.

    `uses_system_ca` writes `sslrootcert=system` where libpq 16 needs it to verify without a CA file.
    """
    hosts = ",".join(f"{_url_host(host)}:{connection.known_port}" for host in _hosts(connection))
    secret = f":{_percent(password)}" if password else ""
    settings = [
        (key, value)
        for key, value in _libpq_settings(connection)
        if key.startswith("ssl") and (uses_system_ca or value != "system")
    ]
    person = f"{_percent(connection.user)}{secret}"
    return f"postgresql://{person}@{hosts}/{_percent(connection.known_database)}?{_query(settings)}"


def _libpq_settings(connection: Connection) -> list[tuple[str, str]]:
    """Return libpq's keywords and values: https://www.postgresql.org/docs/current/libpq-connect.html."""
    settings = [
        ("host", connection.known_host),
        ("port", connection.known_port),
        ("dbname", connection.known_database),
        ("user", connection.user),
        ("sslmode", connection.mode),
    ]
    if connection.verifies and connection.ca_file:
        settings.append(("sslrootcert", connection.ca_file))
    elif connection.ssl_mode == "verify-full":
        settings.append(("sslrootcert", "system"))
    return settings


def _node_ssl(connection: Connection) -> tuple[str, str]:
    match connection.mode:
        case "disable":
            return "false", ""
        case "verify-full" if not connection.ca_file:
            return "true", "Without a CA file Node.js checks against its own list of authorities."
        case "verify-full":
            return f"{{ ca: {_read_file(connection.ca_file)}, rejectUnauthorized: true }}", ""
        case "verify-ca":
            authority = f"ca: {_read_file(connection.ca_file)}, " if connection.ca_file else ""
            return (
                f"{{ {authority}rejectUnauthorized: true, checkServerIdentity: () => undefined }}",
                "The certificate is checked, the host's name in it is not: that is what verify-ca means.",
            )
        case "prefer":
            return (
                "{ rejectUnauthorized: false }",
                "node-postgres cannot fall back: if the server has no TLS, write ssl: false.",
            )
    return "{ rejectUnauthorized: false }", ""


def _read_file(name: str) -> str:
    return f"fs.readFileSync({_string(name)}, 'utf8')"


def _lacks_ca(connection: Connection) -> bool:
    return connection.verifies and not connection.ca_file


def _note(text: str, connection: Connection) -> str:
    """Add what libpq needs to verify a server without a CA file."""
    if not _lacks_ca(connection):
        return text
    if connection.ssl_mode == "verify-full":
        return f"{text} sslrootcert=system needs libpq 16 or newer."
    return f"{text} The portal has no CA file for this server: put one at ~/.postgresql/root.crt."


def _hosts(connection: Connection) -> list[str]:
    return [host.strip() for host in connection.known_host.split(",") if host.strip()] or [UNKNOWN_HOST]


def _url_host(host: str) -> str:
    """Write a host for a URL: IPv6 in brackets, a socket's folder percent-encoded."""
    if ":" in host and not host.startswith("["):
        address, _, zone = host.partition("%")
        return f"[{address}%25{_percent(zone)}]" if zone else f"[{address}]"
    return host if host.startswith("[") else _percent(host)


def _percent(text: str) -> str:
    return quote(text, safe="")


def _query(settings: list[tuple[str, str]]) -> str:
    return "&".join(f"{key}={_percent(value)}" for key, value in settings)


def _conninfo_value(value: str) -> str:
    r"""Quote a conninfo value: in ' with \ before ' and \, unless it is plain."""
    if re.fullmatch(r"[^\s'\\=]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _shell(text: str) -> str:
    """Quote for a POSIX shell; in double quotes where nothing in them is special, because that reads better."""
    if re.fullmatch(r"[A-Za-z0-9 _./:=,@%+-]+", text):
        return f'"{text}"'
    return shlex.quote(text)


def _string(text: str) -> str:
    """Write a string literal that Python, JavaScript, Go and Java read the same way.

    JSON's escapes are a subset of all four; U+2028 and U+2029 end lines in older JavaScript.
    """
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _python_value(value: str) -> str:
    return value if value.isdecimal() and value.isascii() else _string(value)


def _pgpass(field: str) -> str:
    r"""Escape a field of .pgpass: https://www.postgresql.org/docs/current/libpq-pgpass.html."""
    return field.replace("\\", "\\\\").replace(":", "\\:")
