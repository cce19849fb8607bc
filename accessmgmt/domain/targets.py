"""What crosses from the portal's models into provisioning, and back: frozen, without Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class SslMode(StrEnum):
    """The guide's four modes; absent means libpq's own default, prefer."""

    DISABLE = "disable"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


@dataclass(frozen=True, slots=True)
class AwsSecret:
    """Where the credential lies in AWS Secrets Manager. Without keys boto3's default credential chain is used."""

    region: str
    name: str
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """One database on one server, with the admin credential the portal uses there.

    Fields carry the guide's names. `primary` is set when this server is a physical standby: roles are made there.
    `aws_secret` fills what is empty here (username, password, host, database_name, a port of 0); own fields win.
    `leftovers` is "reassign" (what an ended login owns goes to `leftover_owner`, "" means jit_quarantine) or "keep".
    """

    resource_id: int
    name: str
    host: str
    port: int
    database_name: str
    username: str
    password: str = field(default="", repr=False)
    ssl_mode: SslMode | None = None
    tls_root_cert: str = field(default="", repr=False)
    tls_cert_file: str = field(default="", repr=False)
    tls_key_file: str = field(default="", repr=False)
    max_connections: int | None = None
    min_connections: int | None = None
    aws_secret: AwsSecret | None = None
    primary: Target | None = None
    leftovers: str = "reassign"
    leftover_owner: str = ""


@dataclass(frozen=True, slots=True)
class TableAccess:
    """Privileges of a login role on one relation, as the server reported them. `kind` is pg_class.relkind in words."""

    schema: str
    table: str
    kind: str
    privileges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SequenceAccess:
    """Privileges of a login role on a sequence from which tables of its set take their numbers, verified alike."""

    schema: str
    sequence: str
    privileges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gift:
    """What a stranger gave of their own to everybody with a permission set, and what takes it back, in words."""

    what: str
    todo: str


@dataclass(frozen=True, slots=True)
class ApplyReceipt:
    """What was found on the target after applying.

    `steps_ms` maps a step's name to the milliseconds it took. `tables` holds at most `MOST_LISTED_TABLES` rows of
    `table_count`, `sequences` as many of `sequence_count`; `unmatched` are names of the permission set that match
    nothing; `public_extras` counts privileges that everybody has on the same relations through PUBLIC. `gifts` are
    what strangers gave of their own besides.
    `triggers_before` are OIDs of the triggers on the tables on which it has TRIGGER, None where it has that on none.
    """

    role_oid: int
    valid_until: datetime
    server_version: int
    tables: tuple[TableAccess, ...]
    table_count: int
    unmatched: tuple[str, ...]
    public_extras: int
    steps_ms: dict[str, float]
    verified_at: datetime
    system_identifier: str = ""
    sequences: tuple[SequenceAccess, ...] = ()
    sequence_count: int = 0
    triggers_before: tuple[int, ...] | None = None
    gifts: tuple[Gift, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able form for the grant's row."""
        return {
            "role_oid": self.role_oid,
            "system_identifier": self.system_identifier,
            "valid_until": self.valid_until.isoformat(),
            "server_version": self.server_version,
            "tables": [
                {"schema": t.schema, "table": t.table, "kind": t.kind, "privileges": list(t.privileges)}
                for t in self.tables
            ],
            "table_count": self.table_count,
            "sequences": [
                {"schema": s.schema, "sequence": s.sequence, "privileges": list(s.privileges)} for s in self.sequences
            ],
            "sequence_count": self.sequence_count,
            "unmatched": list(self.unmatched),
            "public_extras": self.public_extras,
            **({"gifts": [{"what": gift.what, "todo": gift.todo} for gift in self.gifts]} if self.gifts else {}),
            **({} if self.triggers_before is None else {"triggers_before": list(self.triggers_before)}),
            "steps_ms": [[step, took] for step, took in self.steps_ms.items()],
            "verified_at": self.verified_at.isoformat(),
        }


MOST_LISTED_TABLES = 200


@dataclass(frozen=True, slots=True)
class CutSession:
    """A session that was terminated. `server` is "primary" or "standby"."""

    server: str
    pid: int
    application_name: str
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnseenHost:
    """A server of the cluster that did not answer when a login ended, and why: sessions there are looked for later."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class EndReceipt:
    """The proof that a login is gone: looked for and not found, on the primary and on the standby.

    `role_was_absent` says that no role was there to drop (it never came to be, or somebody dropped it).
    `reassigned` names databases in which objects of the role were handed to the quarantine role.
    `notes` are findings that a DBA should read (prepared transactions, an outdated link to a primary, ...).
    """

    role_name: str
    role_oid: int | None
    role_was_absent: bool
    sessions: tuple[CutSession, ...]
    reassigned: tuple[str, ...]
    notes: tuple[str, ...]
    steps_ms: dict[str, float]
    verified_at: datetime
    unseen_hosts: tuple[UnseenHost, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able form for the grant's row."""
        return {
            "role_name": self.role_name,
            "role_oid": self.role_oid,
            "role_was_absent": self.role_was_absent,
            "sessions": [
                {
                    "server": s.server,
                    "pid": s.pid,
                    "application_name": s.application_name,
                    "started_at": s.started_at.isoformat() if s.started_at else None,
                }
                for s in self.sessions
            ],
            "reassigned": list(self.reassigned),
            "notes": list(self.notes),
            "unseen_hosts": [{"host": unseen.host, "why": unseen.why} for unseen in self.unseen_hosts],
            "steps_ms": [[step, took] for step, took in self.steps_ms.items()],
            "verified_at": self.verified_at.isoformat(),
        }


class RungState(StrEnum):
    """How one rung of the connection test came out."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Rung:
    """One line of the connection test: what was found or why it failed, and the command that mends it."""

    name: str
    state: RungState
    detail: str
    fix: str = ""
    elapsed_ms: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able form for a look's row."""
        return {
            "name": self.name,
            "state": self.state.value,
            "detail": self.detail,
            "fix": self.fix,
            "elapsed_ms": self.elapsed_ms,
        }


def rung_from_json(value: Mapping[str, Any]) -> Rung:
    """Read what `Rung.as_json` gave."""
    return Rung(value["name"], RungState(value["state"]), value["detail"], value["fix"], value["elapsed_ms"])
