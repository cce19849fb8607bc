"""What a person does about a refusal: every sentence with SQL in it that the portal shows to a DBA is made here.

Each function is pure and returns an Advice, and tests/provisioning/test_advice.py runs what it says as the role that it
names, and then repeats the act that was refused. What has nothing to run is a sentence, and needs no function.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql

from accessmgmt.provisioning.statements.base import ADMIN_ROLE, Statement
from accessmgmt.provisioning.statements.drift import take_attributes
from accessmgmt.provisioning.statements.ending import revoke_memberships

OPTIONS_SINCE = 16
"""GRANT ... WITH INHERIT ..., SET ...; and ADMIN is needed on every role, CREATEROLE alone is not enough."""
SUPERUSER_ONLY = frozenset({"SUPERUSER", "REPLICATION", "BYPASSRLS"})


class Runner(StrEnum):
    """Who can run it. A DBA has CREATEROLE and ADMIN on the roles that are named, and is no superuser.

    A keeper is who can edit the server's files.
    """

    DBA = "A DBA"
    OWNER = "The owner"
    SUPERUSER = "A superuser"
    GRANTOR = "Who gave it, or a superuser,"
    MAKER = "Who made these roles, or a superuser,"
    SIGNALLER = "A superuser or a member of pg_signal_backend"
    KEEPER = "Who keeps the server"


@dataclass(frozen=True, slots=True)
class Advice:
    """Statements without their semicolons, who runs them, and where. `str()` is how it is shown.

    `before` and `after` are sentences around them. `database` is "" when any of the server's will do. `owner_of` names
    what a Runner.OWNER owns. Of a Runner.KEEPER, `sql` are lines of pg_hba.conf: the first one that fits counts there.
    """

    sql: tuple[str, ...]
    runner: Runner = Runner.DBA
    database: str = ""
    owner_of: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.before, f"{self.heading}:", *self.lines, self.after) if part)

    @property
    def heading(self) -> str:
        """Who runs it, and where."""
        if self.runner is Runner.KEEPER:
            return f"{self.runner} writes this above the other lines of pg_hba.conf, and reloads it"
        who = f"{self.runner} of {self.owner_of}" if self.owner_of else str(self.runner)
        return f"{who} runs, connected to {self.database}" if self.database else f"{who} runs"

    @property
    def lines(self) -> tuple[str, ...]:
        """The statements, each with its semicolon."""
        if self.runner is Runner.KEEPER:
            return self.sql
        return tuple(f"{statement};" for statement in self.sql)

    def as_sql(self) -> str:
        """Return what can be pasted: the statements, under a comment when not just any DBA can run them."""
        mark = "#" if self.runner is Runner.KEEPER else "--"
        comment = f"{mark} {self.heading}:\n" if self.runner is not Runner.DBA else ""
        return comment + "\n".join(self.lines)


def in_words(advices: Iterable[Advice]) -> str:
    """Return several pieces of advice as one text; those for the same hands become one."""
    return " ".join(str(advice) for advice in _merged(advices))


def as_script(advices: Iterable[Advice]) -> str:
    """Return several pieces of advice as SQL to paste."""
    return "\n".join(advice.as_sql() for advice in _merged(advices))


def _merged(advices: Iterable[Advice]) -> list[Advice]:
    merged: list[Advice] = []
    for advice in advices:
        last = merged[-1] if merged else None
        if last is not None and (last.heading, last.after, advice.before) == (advice.heading, "", ""):
            together = tuple(dict.fromkeys(last.sql + advice.sql))
            merged[-1] = Advice(
                together, last.runner, last.database, last.owner_of, before=last.before, after=advice.after
            )
        else:
            merged.append(advice)
    return merged


def quoted(name: str) -> str:
    """Return a name as it stands in SQL: always quoted, so that no word or letter means something else."""
    return sql.Identifier(name).as_string(None)


def _options(server_version: int, words: str) -> str:
    return f" WITH {words}" if server_version >= OPTIONS_SINCE else ""


def _to_run(statements: Sequence[Statement]) -> tuple[str, ...]:
    return tuple(statement.query.as_string(None) for statement in statements)


# --- what the portal's own roles need ---


def as_the_portal(script: str, acting_as: str, server_version: int) -> Advice:
    """Run what the portal would run itself as the role that it acts as: from 16 on only that administers what it made.

    `script` are statements with their semicolons.
    """
    role, option = quoted(acting_as), _options(server_version, "SET TRUE")
    return Advice((f"GRANT {role} TO CURRENT_USER{option}", f"SET ROLE {role}", script.rstrip("; \n"), "RESET ROLE"))


def step_into(login: str, worker: str, server_version: int) -> Advice:
    """Let the resource's login step into the role that does the work."""
    option = _options(server_version, "INHERIT FALSE, SET TRUE")
    return Advice((f"GRANT {quoted(worker)} TO {quoted(login)}{option}",))


def create_roles(worker: str) -> Advice:
    """Let the role that does the work make roles."""
    return Advice((f"ALTER ROLE {quoted(worker)} CREATEROLE",))


def end_sessions(worker: str, server_version: int) -> Advice:
    """Let the role that does the work end sessions of others."""
    return share_owners(["pg_signal_backend"], worker, server_version)


def pass_connect_on(worker: str, database: str) -> Advice:
    """Let the role that does the work let others into the database."""
    return Advice(
        (f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(worker)} WITH GRANT OPTION",),
        Runner.OWNER,
        owner_of=f"the database {database}",
    )


def administer(roles: Sequence[str], worker: str) -> Advice:
    """Let the role that does the work change roles that it did not make, or made before PostgreSQL 16.

    They are named one by one: a statement that looks for our comment would take roles along that only pretend.
    """
    option = "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    listed = ", ".join(quoted(role) for role in roles)
    return Advice((f"GRANT {listed} TO {quoted(worker)} {option}",), Runner.MAKER)


def read_cluster(worker: str, database: str) -> Advice:
    """Let the role that does the work read the system identifier; EXECUTE is everybody's unless it was revoked."""
    statement = f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO {quoted(worker)}"
    return Advice((statement,), Runner.SUPERUSER, database)


def use_reserved_connections(login: str) -> Advice:
    """Let the portal's login use the connections that are kept free (16 and later). It does not inherit by itself."""
    return Advice((f"GRANT pg_use_reserved_connections TO {quoted(login)} WITH INHERIT TRUE",), Runner.SUPERUSER)


def reserve_connections() -> Advice:
    """Keep connections free for roles that may use them, when everybody else has filled the server up."""
    return Advice(
        ("ALTER SYSTEM SET reserved_connections = 3",),
        Runner.SUPERUSER,
        after="It counts once the server has been started again.",
    )


def allow_connections(login: str, limit: int) -> Advice:
    """Let the portal's login have as many connections as its processes need together."""
    return Advice((f"ALTER ROLE {quoted(login)} CONNECTION LIMIT {limit}",))


# --- what is to be shared ---


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that a capability role should get. `kind` is SQL's word; `name` was quoted by the server."""

    kind: str
    name: str
    privileges: tuple[str, ...]


def share_owners(owners: Sequence[str], worker: str, server_version: int) -> Advice:
    """Let the role that does the work share all that these owners have."""
    option = _options(server_version, "INHERIT TRUE, SET FALSE")
    return Advice(tuple(f"GRANT {quoted(owner)} TO {quoted(worker)}{option}" for owner in dict.fromkeys(owners)))


def share_objects(objects: Sequence[Shared], worker: str, database: str) -> Advice:
    """Let the role that does the work share single objects: nobody is made a member of a superuser, who owns them."""
    return Advice(
        tuple(
            f"GRANT {', '.join(item.privileges)} ON {item.kind} {item.name} TO {quoted(worker)} WITH GRANT OPTION"
            for item in objects
        ),
        Runner.SUPERUSER,
        database,
    )


# --- the portal's roles, when somebody changed them ---


def undo_attributes(role: str, attributes: Sequence[str]) -> Advice:
    """Take attributes away, by their names: naming one that is not there needs a superuser as well."""
    runner = Runner.SUPERUSER if SUPERUSER_ONLY & set(attributes) else Runner.DBA
    return Advice(_to_run([take_attributes(role, attributes)]), runner)


def undo_memberships(role: str, memberships: Sequence[str]) -> Advice:
    """Take the role out of others that somebody made it a member of: up to 15, where any DBA's word counts."""
    return Advice(_to_run([revoke_memberships(name, [role], None) for name in memberships]))


def leave_roles(role: str, memberships: Sequence[tuple[str, str]], server_version: int) -> Advice:
    """Take a role out of others, as pairs of role and grantor: on 16 and later only the grantor's REVOKE counts."""
    if server_version < OPTIONS_SINCE:
        return undo_memberships(role, [name for name, _ in memberships])
    statements = [revoke_memberships(name, [role], grantor) for name, grantor in memberships]
    return Advice(_to_run(statements), Runner.GRANTOR)


def take_back(owner: str, object_words: str, statements: Sequence[Statement], database: str) -> Advice:
    """Take back what a role of the portal holds on something of `owner`, and the portal may not take back itself."""
    return Advice(_to_run(statements), Runner.OWNER, database, owner_of=f"{object_words} ({owner})")


def revoke_as_grantor(grantor: str, name: str, role: str) -> Advice:
    """Take back what another role granted: only its grantor's REVOKE counts. `name` was quoted by the server."""
    statements = (f"SET ROLE {quoted(grantor)}", f"REVOKE ALL ON {name} FROM {quoted(role)}", "RESET ROLE")
    return Advice(statements, Runner.GRANTOR)


def make_room(role: str) -> Advice:
    """Free the name of a login that another role has taken; a role that nobody needs may as well be dropped."""
    return Advice(
        (f"ALTER ROLE {quoted(role)} RENAME TO {quoted(f'not_{role}'[:63])}",),
        before="The portal does not touch it.",
        after="(Or drops it, where nobody needs it.) The ending then finishes by itself.",
    )


def rename_back(found: str, login: str) -> Advice:
    """Give a login its name back, so that the portal knows it again by its name and OID, and ends it."""
    return Advice(
        (f"ALTER ROLE {quoted(found)} RENAME TO {quoted(login)}",),
        before="The portal does not touch it. If it is the login under another name,",
        after="The portal then ends it. If it is another role, it has to be made anew, under another OID, before the"
        " ending can be proved.",
    )


# --- what logins leave behind ---


def hand_over_to(owner: str, worker: str, server_version: int) -> Advice:
    """Let the role that does the work hand objects over to `owner`."""
    option = _options(server_version, "INHERIT TRUE, SET TRUE")
    return Advice((f"GRANT {quoted(owner)} TO {quoted(worker)}{option}",))


def let_own_in(owner: str, schema: str, database: str) -> Advice:
    """Let a role own what is handed over to it in a schema, whose name was quoted by the server."""
    statement = f"GRANT CREATE ON SCHEMA {schema} TO {quoted(owner)}"
    return Advice((statement,), Runner.OWNER, database, owner_of=f"the schema {schema}")


def let_create_in(role: str, database: str) -> Advice:
    """Let a role create in a database: who hands a schema over, or takes a publication over, needs that."""
    return Advice(
        (f"GRANT CREATE ON DATABASE {quoted(database)} TO {quoted(role)}",),
        Runner.OWNER,
        owner_of=f"the database {database}",
    )


def let_use_wrappers(owner: str, wrappers: Sequence[str], database: str) -> Advice:
    """Let a role take foreign servers over. The wrappers' names were quoted by the server."""
    return Advice(
        tuple(f"GRANT USAGE ON FOREIGN DATA WRAPPER {name} TO {quoted(owner)}" for name in wrappers),
        Runner.SUPERUSER,
        database,
    )


def let_event_trigger_run(trigger: str, function: str, database: str) -> Advice:
    """Let the function of an event trigger run with its owner's rights. Both names were quoted by the server."""
    return Advice(
        (f"ALTER FUNCTION {function} SECURITY DEFINER",),
        Runner.OWNER,
        database,
        owner_of=f"the routine {function}",
        before=f"DDL runs the event trigger {trigger} with the rights of whoever changes something, and it refuses.",
        after="(Or gives the trigger a WHEN filter that leaves ALTER and DROP out.) The portal then goes on by itself.",
    )


def make_owner(owner: str, worker: str, server_version: int) -> Advice:
    """Make the role that takes over what logins leave, as the resource names it."""
    option = _options(server_version, "INHERIT TRUE, SET TRUE")
    return Advice((f"CREATE ROLE {quoted(owner)} NOLOGIN", f"GRANT {quoted(owner)} TO {quoted(worker)}{option}"))


def finish_prepared(database: str, gid: str) -> Advice:
    """Roll a prepared transaction back, or commit it: either frees what it holds."""
    name = sql.Literal(gid).as_string(None)
    return Advice(
        (f"ROLLBACK PREPARED {name}",),
        Runner.SUPERUSER,
        database,
        after=f"(Or COMMIT PREPARED {name}, to keep what it did.)",
    )


def drop_hook(statement: str, relation: str, database: str) -> Advice:
    """Drop what a person hung on a table of others. The statement was written by the server."""
    return Advice((statement,), Runner.OWNER, database, owner_of=f"the table {relation}")


def drop_operator(name: str, database: str) -> Advice:
    """Get an operator out of the application's way, with what uses it. `name` was quoted by the server."""
    return Advice((f"DROP OPERATOR {name} CASCADE",), Runner.SUPERUSER, database)


def end_backends(pids: Sequence[int], *, has_superuser: bool) -> Advice:
    """End sessions that hold an ending up; those of a superuser only a superuser may end."""
    runner = Runner.SUPERUSER if has_superuser else Runner.SIGNALLER
    return Advice(tuple(f"SELECT pg_terminate_backend({pid})" for pid in pids), runner)


def take_back_by_hand(gifts: Sequence[tuple[str, str, str, str, Sequence[str]]], database: str) -> Advice:
    """Take back privileges that only their grantors can: (grantor, kind, name, grantee, privileges).

    All was quoted by the server. REVOKE ALL would ask a grantor with USAGE on a sequence, say, for more.
    """
    statements: list[str] = []
    for grantor, kind, name, grantee, privileges in gifts:
        take = f"REVOKE {', '.join(privileges)} ON {kind} {name} FROM {grantee} CASCADE"
        statements += [f"SET ROLE {grantor}", take, "RESET ROLE"]
    return Advice(tuple(statements), Runner.SUPERUSER, database, after="The portal then goes on by itself.")


def take_back_anew(
    gifts: Sequence[tuple[str, str, str, str, Sequence[str]]], held: Collection[tuple[str, str, str]], database: str
) -> Advice:
    """Take back what a role cannot take back itself, as it may not pass that on any more, which a REVOKE needs.

    `gifts` are as for take_back_by_hand, `held` what the role has: kind, name and privilege.
    """
    statements: list[str] = []
    for grantor, kind, name, grantee, privileges in gifts:
        listed, on = ", ".join(privileges), f"ON {kind} {name}"
        kept = [privilege for privilege in privileges if (kind, name, privilege) in held]
        borrowed = [privilege for privilege in privileges if privilege not in kept]
        statements += [f"GRANT {listed} {on} TO {grantor} WITH GRANT OPTION"]
        statements += [f"SET ROLE {grantor}", f"REVOKE {listed} {on} FROM {grantee} CASCADE", "RESET ROLE"]
        statements += [f"REVOKE GRANT OPTION FOR {', '.join(kept)} {on} FROM {grantor} CASCADE"] if kept else []
        statements += [f"REVOKE {', '.join(borrowed)} {on} FROM {grantor} CASCADE"] if borrowed else []
    return Advice(tuple(statements), Runner.SUPERUSER, database, after="The portal then goes on by itself.")


def clear_by_hand(role: str, owner: str, databases: Sequence[str]) -> Advice:
    """Hand over and take away what still depends on a role, in each of these databases ("" for shared objects)."""
    places = " and to ".join(dict.fromkeys(name or "any database" for name in databases))
    return Advice(
        (f"REASSIGN OWNED BY {quoted(role)} TO {quoted(owner)}", f"DROP OWNED BY {quoted(role)}"),
        Runner.SUPERUSER,
        places,
        after="The portal then goes on by itself.",
    )


# --- what everybody may do ---


def close_schema(schema: str, database: str) -> Advice:
    """Let nobody create objects in a schema (quoted by the server) just by being there."""
    statement = f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
    return Advice((statement,), Runner.OWNER, database, owner_of=f"the schema {schema}")


def close_routine(routine: str, database: str) -> Advice:
    """Let not everybody run a routine with its owner's rights. Its name was quoted by the server."""
    statement = f"REVOKE EXECUTE ON ROUTINE {routine} FROM PUBLIC"
    return Advice((statement,), Runner.OWNER, database, owner_of=f"the routine {routine}")


SET_UP = (
    f"A DBA looks at the portal's set-up on this server: {ADMIN_ROLE} needs CREATEROLE, and membership in the roles"
    " that own the shared tables."
)
