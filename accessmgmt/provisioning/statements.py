"""Every statement that is sent to a target server, as data: a description and a composed query.

Longer queries lie in `sql/`. Identifiers go through sql.Identifier, values through parameters or sql.Literal; names
that the server itself quoted (quote_ident of schema and relation) are inserted as they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from psycopg import sql

from accessmgmt.domain.permissions import Privilege

SQL_FOLDER = Path(__file__).parent / "sql"
ADMIN_ROLE = "jit_portal"
QUARANTINE_ROLE = "jit_quarantine"
LOGIN_CONNECTION_LIMIT = 20  # where the resource says no max_connections
PRIVILEGE_LETTERS = {
    Privilege.SELECT: "r",
    Privilege.INSERT: "a",
    Privilege.UPDATE: "w",
    Privilege.DELETE: "d",
    Privilege.TRUNCATE: "D",
    Privilege.REFERENCES: "x",
    Privilege.TRIGGER: "t",
    Privilege.MAINTAIN: "m",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `is_secret` keeps the server's words about it out of messages (it holds a verifier).

    `is_bracket` is one that only says how the others are run: a message is not named after it.
    """

    description: str
    query: sql.Composable
    is_secret: bool = False
    is_bracket: bool = False


def trusted(text: str) -> sql.SQL:
    """Take text as SQL: only what this package holds, or what the server itself quoted."""
    return sql.SQL(text)


def load_text(name: str) -> str:
    """Read sql/<name>.sql."""
    return (SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


@cache
def load(name: str) -> sql.SQL:
    """Read sql/<name>.sql as SQL."""
    return trusted(load_text(name))


BEGIN = Statement("begin", sql.SQL("BEGIN"), is_bracket=True)
COMMIT = Statement("commit", sql.SQL("COMMIT"), is_bracket=True)
ROLLBACK = Statement("roll back", sql.SQL("ROLLBACK"), is_bracket=True)
COMMIT_WITHOUT_WAITING = Statement(
    "leave the disk to a later commit", sql.SQL("SET LOCAL synchronous_commit = off"), is_bracket=True
)
READ_CHUNK = Statement("read the drift of a chunk", load("chunk_drift"))
READ_STRANGERS = Statement("look whose it is", trusted(load_text("strangers").replace("{scope}", load_text("scope"))))
READ_EXTRAS = Statement("read what everybody may do", load("extras"))
READ_UNUSABLE = Statement("read the names of what it cannot use", load("unusable"))
READ_SUPERUSERS = Statement(
    "read who is a superuser", sql.SQL("SELECT rolname::text AS name FROM pg_roles WHERE rolsuper")
)
READ_LOGIN_TRIGGERS = Statement(
    "read the event triggers on login",
    sql.SQL(
        "SELECT evtname::text AS name FROM pg_event_trigger WHERE evtevent = 'login' AND evtenabled <> 'D' ORDER BY 1"
    ),
)
READ_LSN = Statement("read the log position", sql.SQL("SELECT pg_current_wal_insert_lsn()::text AS lsn"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A query that each admin connection plans once: planning takes longer than running it.

    It is prepared in SQL, under our own name: psycopg forgets its prepared statements at every DROP.
    `types` maps the parameters of the text, in order, to PostgreSQL types.
    """

    name: str
    description: str
    text: str
    types: dict[str, str]

    def prepare(self) -> Statement:
        """Plan it on this connection."""
        numbered = self.text
        for number, parameter in enumerate(self.types, start=1):
            numbered = numbered.replace(f"%({parameter})s", f"${number}")
        types = f"({', '.join(self.types.values())})" if self.types else ""
        head = sql.SQL("PREPARE {} {} AS ").format(sql.Identifier(self.name), trusted(types))
        return Statement(f"prepare to {self.description}", head + trusted(numbered))

    def execute(self, values: Mapping[str, object]) -> Statement:
        """Run it with these values."""
        listed = sql.SQL(", ").join(sql.Literal(values[parameter]) for parameter in self.types)
        given = sql.SQL("({})").format(listed) if self.types else sql.SQL("")
        return Statement(self.description, sql.SQL("EXECUTE {} {}").format(sql.Identifier(self.name), given))


FINGERPRINT = Prepared("jit_fingerprint", "read the catalog's fingerprint", load_text("fingerprint"), {})
LOGIN = Prepared("jit_login", "read the login role", load_text("login"), {"role": "text", "latest": "timestamptz"})
FACTS = Prepared("jit_facts", "read the two roles", load_text("facts"), {"role": "text", "capability": "text"})
DRIFT = Prepared(
    "jit_drift",
    "read the capability role's drift",
    load_text("drift").replace("{scope}", load_text("scope")),
    {
        "capability": "text",
        "wanted": "text[]",
        "letters": "text",
        "schemas": "text[]",
        "schema_patterns": "text[]",
        "tables": "text[]",
        "table_patterns": "text[]",
        "all_tables": "boolean",
        "with_defaults": "boolean",
        "sequence_wanted": "text[]",
        "leftover_owner": "text",
        "most": "integer",
    },
)


def setup_session(server_version: int) -> Statement:
    """Step into the admin role where possible, and set what only later versions know."""
    return Statement(
        "set the session up",
        load("setup").format(
            admin_role=sql.Literal(ADMIN_ROLE),
            membership=sql.Literal("SET" if server_version >= 16 else "MEMBER"),
            transaction_timeout=sql.SQL("pg_catalog.set_config('transaction_timeout', '60s', false)")
            if server_version >= 17
            else sql.SQL("NULL::text"),
            self_grant=sql.SQL("pg_catalog.set_config('createrole_self_grant', '', false)")
            if server_version >= 16
            else sql.SQL("NULL::text"),
        ),
    )


def has_replayed(lsn: str) -> Statement:
    """Ask a standby whether it has replayed up to a log position."""
    return Statement(
        "wait for the standby",
        sql.SQL(
            "SELECT pg_is_in_recovery() AS in_recovery,"
            " coalesce(pg_last_wal_replay_lsn() >= {}::pg_lsn, false) AS has_replayed"
        ).format(sql.Literal(lsn)),
    )


def create_capability(role: str, tag: str) -> list[Statement]:
    """Make the capability role and mark it as ours, in one transaction."""
    return [
        BEGIN,
        Statement("create the capability role", sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))),
        comment_on_role(role, tag),
        COMMIT,
    ]


def comment_on_role(role: str, tag: str) -> Statement:
    """Write our tag onto a role."""
    return Statement(
        "tag the role",
        sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(tag)),
    )


def write_login(
    role: str, *, exists: bool, verifier: str, valid_until: datetime, connection_limit: int = LOGIN_CONNECTION_LIMIT
) -> Statement:
    """Create the login role, or set it right again. VALID UNTIL wants a literal with its offset."""
    return Statement(
        "alter the login role" if exists else "create the login role",
        sql.SQL("{} ROLE {} LOGIN INHERIT CONNECTION LIMIT {} PASSWORD {} VALID UNTIL {}").format(
            sql.SQL("ALTER" if exists else "CREATE"),
            sql.Identifier(role),
            sql.Literal(connection_limit),
            sql.Literal(verifier),
            sql.Literal(valid_until.isoformat()),
        ),
        is_secret=True,
    )


def grant_membership(capability: str, role: str, server_version: int) -> Statement:
    """Let the login role have what the capability role holds, without stepping into it where that can be said."""
    option = sql.SQL(" WITH INHERIT TRUE, SET FALSE" if server_version >= 16 else "")
    return Statement(
        "grant the capability role",
        sql.SQL("GRANT {} TO {}{}").format(sql.Identifier(capability), sql.Identifier(role), option),
    )


GUARD_SQLSTATE = "22012"


def grant_tables(privileges: Sequence[str], names: Sequence[str], role: str) -> Statement:
    """Give table privileges, relations listed."""
    return Statement(
        "grant on the chunk's tables",
        sql.SQL("GRANT {} ON TABLE {} TO {}").format(
            trusted(", ".join(privileges)), trusted(", ".join(names)), sql.Identifier(role)
        ),
    )


def revoke_tables(names: Sequence[str], role: str) -> Statement:
    """Take everything on relations away, and what was passed on of it (without CASCADE the server refuses then).

    A table-level REVOKE takes column privileges too.
    """
    return Statement(
        "revoke what is too much on tables",
        sql.SQL("REVOKE ALL ON TABLE {} FROM {} CASCADE").format(trusted(", ".join(names)), sql.Identifier(role)),
    )


def grant_on(kind: str, privileges: Sequence[str], names: Sequence[str], role: str) -> Statement:
    """Give privileges on sequences, schemas or a database (`kind` in SQL's words)."""
    return Statement(
        f"grant on {kind.lower()}",
        sql.SQL("GRANT {} ON {} {} TO {}").format(
            trusted(", ".join(privileges)), trusted(kind), trusted(", ".join(names)), sql.Identifier(role)
        ),
    )


def revoke_on(kind: str, names: Sequence[str], role: str) -> Statement:
    """Take everything on sequences or schemas away, and what was passed on of it."""
    return Statement(
        f"revoke what is too much on {kind.lower()}",
        sql.SQL("REVOKE ALL ON {} {} FROM {} CASCADE").format(
            trusted(kind), trusted(", ".join(names)), sql.Identifier(role)
        ),
    )


def revoke_beside_connect(database: str, role: str) -> list[Statement]:
    """Take everything on a database away but CONNECT; its name is quoted by the server."""
    return [
        Statement(
            "revoke what is too much on another database",
            sql.SQL("REVOKE {} ON DATABASE {} FROM {} CASCADE").format(
                trusted(words), trusted(database), sql.Identifier(role)
            ),
        )
        for words in ("CREATE, TEMPORARY", "GRANT OPTION FOR CONNECT")
    ]


FUTURE_WORDS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "ROUTINES",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",  # from 18 on
}
"""pg_default_acl.defaclobjtype in the words of ALTER DEFAULT PRIVILEGES."""


def _of_future(owner: str, schema: str, words: sql.Composable) -> sql.Composable:
    within = sql.SQL(" IN SCHEMA {}").format(trusted(schema)) if schema else sql.SQL("")
    return sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} {}").format(sql.Identifier(owner), within, words)


def grant_future(owner: str, schema: str, kind: str, privileges: Sequence[str], role: str) -> Statement:
    """Give privileges on what an owner will create in a schema; `schema` is quoted by the server, `kind` r or S."""
    given = sql.SQL("GRANT {} ON {} TO {}").format(
        trusted(", ".join(privileges)), trusted(FUTURE_WORDS[kind]), sql.Identifier(role)
    )
    return Statement("grant on future objects", _of_future(owner, schema, given))


def revoke_future(owner: str, schema: str, kind: str, role: str) -> Statement:
    """Take everything away on what an owner will create in a schema, or anywhere (`schema` "")."""
    taken = sql.SQL("REVOKE ALL ON {} FROM {} CASCADE").format(trusted(FUTURE_WORDS[kind]), sql.Identifier(role))
    return Statement("revoke what is too much on future objects", _of_future(owner, schema, taken))


def read_effective(wanted: Sequence[str], unwanted: Sequence[str], sequence_wanted: Sequence[str]) -> Statement:
    """Ask, as the login role, for what it may really do."""
    has_sequence = sql.SQL(" AND ").join(
        sql.SQL("has_sequence_privilege(s, {})").format(sql.Literal(privilege)) for privilege in sequence_wanted
    )
    has_wanted = sql.SQL(" AND ").join(
        sql.SQL("has_table_privilege(r, {})").format(sql.Literal(privilege)) for privilege in wanted
    )
    has_more = (
        sql.SQL("has_table_privilege(r, {})").format(sql.Literal(", ".join(unwanted))) if unwanted else sql.SQL("false")
    )
    return Statement(
        "verify as the login role",
        load("effective").format(
            has_wanted=has_wanted, has_more=has_more, has_sequence=has_sequence if sequence_wanted else sql.SQL("false")
        ),
    )


def fence_login(role: str) -> Statement:
    """Close the door: no log-in, no password, no validity."""
    return Statement(
        "fence the login role",
        sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0 VALID UNTIL '-infinity'").format(
            sql.Identifier(role)
        ),
    )


def drop_role(role: str) -> Statement:
    """Drop the login role."""
    return Statement("drop the login role", sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


READ_ABILITIES = Statement(
    "read what the admin role may do", load("abilities").format(admin_role=sql.Literal(ADMIN_ROLE))
)


READ_MAY_SIGNAL = Statement(
    "read whether we may end sessions",
    sql.SQL(
        "SELECT current_user::text AS name, current_setting('is_superuser') = 'on'"
        " OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS may_signal"
    ),
)
