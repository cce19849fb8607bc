"""The statements that take a grant away again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import sql

from accessmgmt.provisioning.statements.base import (
    ADMIN_ROLE,
    BEGIN,
    ROLLBACK,
    Prepared,
    Statement,
    load,
    load_text,
    trusted,
)

READ_HOLDERS = Statement("look for members of the login", load("holders").format(admin_role=sql.Literal(ADMIN_ROLE)))
READ_CLOCK = Statement("read the server's clock", sql.SQL("SELECT clock_timestamp() AS now"))
SHORT_LOCK_TIMEOUT = Statement(
    "wait half a second at most", sql.SQL("SET LOCAL lock_timeout = '500ms'"), is_bracket=True
)
OPTIONS_SINCE = 16
# Every ending asks these, each once: to plan them takes longer than to run them.
ROLES = Prepared(
    "jit_roles",
    "look for the login role",
    load_text("roles_of_grants").format(admin_role=f"'{ADMIN_ROLE}'"),
    {"names": "text[]", "oids": "bigint[]"},
)
DEPENDENCIES = Prepared(
    "jit_dependencies", "look for what depends on the role", load_text("dependencies"), {"oids": "bigint[]"}
)
PREPARED_TRANSACTIONS = Prepared(
    "jit_prepared", "look for prepared transactions", load_text("prepared"), {"names": "text[]"}
)
ABSENCE = Prepared(
    "jit_absence",
    "verify that nothing is left",
    load_text("absence_of_grants"),
    {"names": "text[]", "oids": "bigint[]"},
)
UNSETTLED = Prepared(
    "jit_unsettled", "look what was left in the sets' names", load_text("unsettled_sets"), {"sets": "text[]"}
)
READ_LET_IN = Statement(
    "look whom the role let into others",
    sql.SQL(
        "SELECT pg_get_userbyid(m.roleid)::text AS granted, pg_get_userbyid(m.member)::text AS member"
        " FROM pg_auth_members m WHERE m.grantor = %(oid)s::oid ORDER BY 1, 2"
    ),
)
READ_NAMES = Statement(
    "read the names of roles",
    sql.SQL("SELECT r.rolname::text AS name FROM pg_roles r WHERE r.oid = ANY (%(oids)s::oid[]) ORDER BY 1"),
)


def terminate(oids: Sequence[int], until: datetime | None = None) -> Statement:
    """Terminate the sessions of these role OIDs and list them: all, or those that had begun `until` then.

    Without parameters, so that it fits any message.
    """
    moment = sql.Literal(until.isoformat() if until else "infinity")
    return Statement("terminate its sessions", load("terminate").format(oids=sql.Literal(list(oids)), until=moment))


def terminate_seen(oids: Sequence[int]) -> Statement:
    """Look once: terminate every session of these role OIDs, and list what begins a session now (`oid` None)."""
    return Statement("terminate its sessions", load("terminate_seen").format(oids=sql.Literal(list(oids))))


def terminate_starting(pids: Sequence[int]) -> Statement:
    """Terminate processes that have been beginning a session for long."""
    return Statement(
        "end what does not finish its start", load("terminate_starting").format(pids=sql.Literal(list(pids)))
    )


def read_blockers(pid: int) -> Statement:
    """Ask who keeps a session waiting for a lock."""
    return Statement("look who holds it up", load("blockers").format(pid=sql.Literal(pid)))


def cut_blockers(pid: int, blockers: Sequence[int]) -> Statement:
    """Terminate those sessions of `blockers` that still keep one waiting, and list their `pid`."""
    return Statement(
        "end what holds it up",
        sql.SQL(
            "SELECT p.pid FROM unnest(pg_blocking_pids({})) p (pid)"
            " WHERE p.pid = ANY ({}::int[]) AND pg_terminate_backend(p.pid) GROUP BY p.pid"
        ).format(sql.Literal(pid), sql.Literal(list(blockers))),
    )


def cut_statements(oids: Sequence[int], as_member_of: Sequence[str], server_version: int) -> list[Statement]:
    """Terminate the sessions of roles; as a member of them, for the moment, where we may not end any in general."""
    if not as_member_of:
        return [terminate(oids)]
    return as_member(as_member_of, terminate(oids), server_version)


def as_member(roles: Sequence[str], statement: Statement, server_version: int) -> list[Statement]:
    """Run one statement as a member of roles that we made, for the moment: what it has signalled stays so."""
    steps = [step_into(role, server_version) for role in roles]
    return [BEGIN, SHORT_LOCK_TIMEOUT, *steps, statement, ROLLBACK]


def revoke_memberships(granted: str, roles: Sequence[str], granted_by: str | None) -> Statement:
    """Take a role away from many. On 16 and later only its own grantor's word counts.

    One statement: for each one the server reads the list of all members of `granted` anew. What a member passed on of
    it goes along.
    """
    by = sql.SQL(" GRANTED BY {}").format(sql.Identifier(granted_by)) if granted_by else sql.SQL("")
    return Statement(
        "revoke a membership",
        sql.SQL("REVOKE {} FROM {}{} CASCADE").format(
            sql.Identifier(granted), sql.SQL(", ").join(map(sql.Identifier, roles)), by
        ),
    )


def step_into(role: str, server_version: int, *, with_set: bool = False) -> Statement:
    """Give ourselves the privileges of a role that we made, for the one transaction that needs them."""
    options = f" WITH INHERIT TRUE, SET {'TRUE' if with_set else 'FALSE'}" if server_version >= 16 else ""
    return Statement(
        "take up the role's own rights",
        sql.SQL("GRANT {} TO CURRENT_USER{}").format(sql.Identifier(role), trusted(options)),
    )


def read_owner_powers(owner: str, *, is_chosen: bool) -> Statement:
    """Ask what a role has to lose that shall take over leftovers: see queries/owner_powers.sql."""
    return Statement(
        "look at the new owner of leftovers",
        load("owner_powers").format(name=sql.Literal(owner), is_chosen=sql.SQL("true" if is_chosen else "false")),
    )


def read_lacking_to_hand_over(oid: int, owner: str, server_version: int) -> Statement:
    """Ask what handing over lacks, in the connected database: see queries/lacking_to_hand_over.sql."""
    return Statement(
        "look what handing over lacks",
        load("lacking_to_hand_over").format(
            oid=sql.Literal(oid),
            owner=sql.Literal(owner),
            membership=sql.Literal("SET" if server_version >= OPTIONS_SINCE else "MEMBER"),
        ),
    )


def read_hooks(oid: int, triggers_before: Sequence[int] | None, capability: str | None) -> Statement:
    """List what a role hung on objects of others: queries/hooks.sql. `triggers_before` were there before its grant."""
    return Statement(
        "look what it hung on tables of others",
        load("hooks").format(
            oid=sql.Literal(oid),
            knows_triggers=sql.SQL("false" if triggers_before is None else "true"),
            triggers=sql.Literal(list(triggers_before or ())),
            capability=sql.Literal(capability),
        ),
    )


def read_triggers(capability: str) -> Statement:
    """List the triggers on all tables on which a capability role has TRIGGER."""
    return Statement(
        "read which triggers there are",
        sql.SQL(
            "SELECT t.oid::bigint AS oid FROM pg_trigger t, pg_roles r WHERE NOT t.tgisinternal AND r.rolname = {}"
            " AND has_table_privilege(r.oid, t.tgrelid, 'TRIGGER') ORDER BY 1"
        ).format(sql.Literal(capability)),
    )


def run_as_read(description: str, text: str) -> Statement:
    """Run a statement that the server itself wrote, in a query of this package."""
    return Statement(description, trusted(text))


def read_attributes(role: str) -> Statement:
    """Read which attributes a role has that superusers may keep for themselves, in the words of ALTER ROLE."""
    return Statement(
        "read its attributes",
        sql.SQL(
            "SELECT array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END,"
            " CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL)"
            " AS attributes FROM pg_roles r WHERE r.rolname = {}"
        ).format(sql.Literal(role)),
    )


def read_memberships(oids: Sequence[int]) -> Statement:
    """Read what roles are members of, and by whom: `oid`, `granted`, `grantor`."""
    return Statement(
        "read its memberships",
        sql.SQL(
            "SELECT m.member::bigint AS oid, pg_get_userbyid(m.roleid)::text AS granted,"
            " pg_get_userbyid(m.grantor)::text AS grantor FROM pg_auth_members m"
            " WHERE m.member = ANY ({}::oid[]) ORDER BY 1, 2, 3"
        ).format(sql.Literal(list(oids))),
    )


def create_quarantine(role: str) -> Statement:
    """Make the role that takes over what a login left behind, when the resource names no other."""
    return Statement("create the quarantine role", sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def reassign_owned(role: str, owner: str) -> Statement:
    """Hand what the login owns to another role: never delete what a person made."""
    return Statement(
        "hand its objects over",
        sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(role), sql.Identifier(owner)),
    )


def drop_owned(role: str) -> Statement:
    """Take away the privileges that were given to the login directly."""
    return Statement("drop its privileges", sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))


def read_owned(oid: int) -> Statement:
    """List what the role owns in the connected database and of shared objects: `type`, `name`, `is_local`."""
    return Statement("list what the role owns", load("owned_objects").format(oid=sql.Literal(oid)))


def guard_owns_nothing(oid: int) -> Statement:
    """Fail (22012) when the role owns something here: DROP OWNED would delete it."""
    owned = load("owned_objects").format(oid=sql.Literal(oid))
    return Statement(
        "check that the role owns nothing",
        sql.SQL("SELECT 1 / CASE WHEN EXISTS (SELECT FROM ({}) o) THEN 0 ELSE 1 END").format(owned),
    )


def drop_roles(roles: Sequence[str]) -> Statement:
    """Drop login roles; one that has gone meanwhile is no failure."""
    listed = sql.SQL(", ").join(map(sql.Identifier, roles))
    return Statement("drop the login role", sql.SQL("DROP ROLE IF EXISTS {}").format(listed))
