"""What a person does when the server lets nobody in: the part of advice.py that is about logging in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accessmgmt.provisioning.statements.advice import Advice, Runner, quoted

PATTERNS_SINCE = 16
"""pg_hba.conf takes regular expressions for users."""
PEOPLE = "/^jit_"
PASSWORD = "<password>"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Door:
    """Where somebody comes from and wants to go: what a line of pg_hba.conf is about.

    `address` is the portal's own, "" when it is not known. `is_encrypted` says that the resource asks for TLS.
    """

    database: str
    address: str
    is_encrypted: bool

    def line(self, who: str) -> str:
        """Return the line that lets `who` in with a password."""
        kind = "hostssl" if self.is_encrypted else "host"
        bits = 128 if ":" in self.address else 32
        return (
            f"{kind} {quoted(self.database)} {who} {f'{self.address}/{bits}' if self.address else 'all'} scram-sha-256"
        )


def let_in(user: str, door: Door) -> Advice:
    """Let the portal's own login in, with its password."""
    return Advice((door.line(quoted(user)),), Runner.KEEPER)


def let_people_in(door: Door, server_version: int) -> Advice:
    """Let the logins of people in, those that are made later as well: no line may name one of them.

    Up to 15 no word of pg_hba.conf means them alone.
    """
    who = PEOPLE if server_version >= PATTERNS_SINCE else "all"
    before = "People need such a line for every network that they come from. This one is for the portal's own check."
    return Advice((door.line(who),), Runner.KEEPER, before=before)


def allow_log_in(user: str) -> Advice:
    """Let the portal's own login log in at all."""
    return Advice((f"ALTER ROLE {quoted(user)} LOGIN",))


def set_password(user: str) -> Advice:
    """Give the portal's own login a password that holds, kept as SCRAM needs it."""
    return Advice(
        (
            "SET password_encryption = 'scram-sha-256'",
            f"ALTER ROLE {quoted(user)} PASSWORD '{PASSWORD}' VALID UNTIL 'infinity'",
        )
    )


def allow_connect(user: str, database: str) -> Advice:
    """Let the portal's own login into the database."""
    statement = f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(user)}"
    return Advice((statement,), Runner.OWNER, owner_of=f"the database {database}")


def open_database(database: str) -> Advice:
    """Let the database take connections again."""
    return Advice(
        (f"ALTER DATABASE {quoted(database)} ALLOW_CONNECTIONS true",),
        Runner.OWNER,
        "another database",
        owner_of=f"the database {database}",
    )


def disable_triggers(triggers: Sequence[str], database: str) -> Advice:
    """Keep login event triggers from refusing people; better is that their function lets names of ours pass."""
    return Advice(
        tuple(f"ALTER EVENT TRIGGER {quoted(name)} DISABLE" for name in triggers),
        Runner.SUPERUSER,
        database,
        before="Let the trigger's function pass logins whose name begins with jit_. Or:",
    )


def switch_tls_on() -> Advice:
    """Let the server offer encryption; ssl_cert_file and ssl_key_file have to be there."""
    return Advice(
        ("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"),
        Runner.SUPERUSER,
        before="The server needs a certificate and its key (ssl_cert_file, ssl_key_file).",
    )
