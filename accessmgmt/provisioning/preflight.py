"""What the admin credential lacks on a server, each with the SQL that mends it (postgres.md 9.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accessmgmt.provisioning.statements import QUARANTINE_ROLE
from accessmgmt.provisioning.statements_topology import read_preflight

if TYPE_CHECKING:
    from accessmgmt.provisioning.execute import Row, Session

MOST_LISTED = 10
OPTIONS_SINCE = 16
"""GRANT … WITH INHERIT …, SET …; and ADMIN is needed on every role, CREATEROLE alone is not enough."""


EVERY_ROLE = (
    "DO $$ DECLARE name text; BEGIN FOR name IN SELECT quote_ident(rolname) FROM pg_roles WHERE"
    " shobj_description(oid, 'pg_authid') LIKE 'access-portal:%' LOOP"
    " EXECUTE 'GRANT ' || name || ' TO {worker} {option}'; END LOOP; END $$;"
)


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing. `fix` is SQL for a DBA who is connected to the resource's database."""

    what: str
    fix: str


def read_missing(session: Session) -> list[Missing]:
    """Ask the server, as the resource's credential; nothing is missing for a superuser."""
    if session.conn.info.parameter_status("is_superuser") == "on":
        return []
    row = session.ask(read_preflight(session.server_version))[0]
    return missing_in(row, session.server_version)


def missing_in(row: Row, server_version: int) -> list[Missing]:
    """Return what is missing, in the order in which a DBA mends it. `row` is the answer of sql/preflight.sql."""
    has_options = server_version >= OPTIONS_SINCE
    worker = row["worker"]
    found: list[Missing] = []
    if not row["is_stepped_in"]:
        option = " WITH INHERIT FALSE, SET TRUE" if has_options else ""
        found.append(Missing(f"{row['login']} cannot step into {worker}", f"GRANT {worker} TO {row['login']}{option};"))
    if not row["may_create_roles"]:
        found.append(Missing(f"{worker} may not create roles", f"ALTER ROLE {worker} CREATEROLE;"))
    if not row["may_signal"]:
        found.append(Missing(f"{worker} may not end the sessions of others", f"GRANT pg_signal_backend TO {worker};"))
    if not row["may_pass_connect"]:
        found.append(
            Missing(
                f"{worker} may not pass on CONNECT to the database {row['database']}",
                f"GRANT CONNECT ON DATABASE {row['database']} TO {worker} WITH GRANT OPTION;",
            )
        )
    if row["lacks_quarantine"]:
        option = " WITH INHERIT TRUE, SET TRUE" if has_options else ""
        found.append(
            Missing(
                f"{worker} cannot hand objects over to {QUARANTINE_ROLE}",
                f"GRANT {QUARANTINE_ROLE} TO {worker}{option};",
            )
        )
    if row["not_administered"]:
        found.append(_without_admin(row["not_administered"], worker))
    return found


def _without_admin(roles: list[str], worker: str) -> Missing:
    """Roles from before an upgrade to 16, or made by another credential, have no ADMIN row for the worker."""
    option = "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    fix = f"GRANT {', '.join(roles)} TO {worker} {option};"
    if len(roles) > MOST_LISTED:
        fix = EVERY_ROLE.format(worker=worker, option=option)
    what = f"{worker} has no ADMIN option on {len(roles)} roles of the portal, made before PostgreSQL 16 or by others"
    return Missing(what, fix)


def as_sentence(found: list[Missing]) -> str:
    """Return what is missing as one sentence."""
    text = "; ".join(item.what for item in found)
    return f"{text[:1].upper()}{text[1:]}." if found else ""


def as_sql(found: list[Missing]) -> str:
    """Return all of the SQL, to paste at once."""
    return " ".join(item.fix for item in found)
