"""What a server is asked about the portal's roles, and about what they may do."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from accessmgmt.provisioning.statements.base import ADMIN_ROLE, Prepared, Statement, load, load_text, trusted

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
