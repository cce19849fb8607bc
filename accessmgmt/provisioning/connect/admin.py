"""Connections to targets: pooled ones of the admin, single ones of a login role or to another database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.diagnose import diagnose
from accessmgmt.provisioning.connect.hosts import (
    forget_host,
    has_several_hosts,
    hosts_in_order,
    is_standby,
    none_takes_changes,
    remember_host,
    wants_primary,
)
from accessmgmt.provisioning.connect.pool import LARGEST, Pool, Registry
from accessmgmt.provisioning.connect.reach import knock
from accessmgmt.provisioning.connect.refused_login import pooler_found
from accessmgmt.provisioning.connect.scram import ScramKeys, libpq_keys
from accessmgmt.provisioning.connect.secrets_manager import forget_secret, resolve_target
from accessmgmt.provisioning.connect.tls import NOWHERE, libpq_tls
from accessmgmt.provisioning.session.bounded import within
from accessmgmt.provisioning.session.conversation import Interrupted, Session, remember_cluster
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.reading import setup_session
from accessmgmt.provisioning.statements.servers import read_backend

APPLICATION_NAME = "access-portal"
CONNECT_SECONDS = 5
"""How long one address may take to let us in; libpq's smallest is 2."""

LONGEST_SECONDS = 10.0
"""How long everything together may take: names, all hosts of a list, sign-in, set-up, and finding out why not."""

ATTEMPTS_SHARE = 0.6  # the rest is for finding out why nobody lets us in
KNOCK_SECONDS = 2.0
# What a session starts with wins over what the server, the database and the role say, and stays when it steps into
# another role. Every role may set these; what only some versions know, setup.sql sets.
SETTINGS = {
    "statement_timeout": "20s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "client_connection_check_interval": "1s",
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO",
    "client_min_messages": "notice",
    "plan_cache_mode": "force_generic_plan",
    # A default of read only would keep an ending out, and isolation let it see what was true before it had its locks.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "idle_session_timeout": "0",  # connections of the pool wait for their next use
    "exit_on_error": "off",
    # How the server reads what is sent, and writes what is read.
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "intervalstyle": "postgres",
    "row_security": "on",
    "jit": "off",  # on a catalog that nobody has analyzed the estimates are high enough to compile what takes moments
}
KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_ESCAPED_BLANK = "\\ "
REFUSED_LOG_IN = frozenset({"28P01", "28000"})
READ_ONLY = "25006"
NO_CONNECTION = (psycopg.Error, UnicodeError, TimeoutError)

_registry = Registry()


@contextmanager
def admin_connection(target: Target, *, timeout_seconds: float = 10.0) -> Iterator[psycopg.Connection]:
    """Lend an admin connection in autocommit mode, from a small pool of this process.

    Raises TargetUnavailable or TargetRefused with the reason when none can be made.
    """
    pool = _pool_of(target)
    pooled, _ = pool.take(timeout_seconds)
    try:
        yield pooled.conn
    finally:
        pool.give_back(pooled)


@contextmanager
def admin_session(
    target: Target, budget: Budget, *, server: str = "", installation: Installation | None = None
) -> Iterator[Session]:
    """Lend an admin connection as a session with a deadline.

    With a list of hosts, a server that turns out to take no changes is left: Interrupted asks to begin anew.
    """
    name = f"{target.name} ({server})" if server else target.name
    with admin_connection(target, timeout_seconds=budget.check()) as conn:
        session = Session(conn, target_name=name, budget=budget, installation=installation)
        try:
            with session.open():
                yield session
        except TargetError as error:
            if error.sqlstate != READ_ONLY or not wants_primary(target):
                raise
            conn.close()
            forget_connections(target)
            raise Interrupted(error.what, why=error.why, todo="It is tried again.", sqlstate=READ_ONLY) from None


@contextmanager
def database_session(target: Target, database: str, budget: Budget) -> Iterator[Session]:
    """Open an admin connection of its own to another database of the target's server."""
    other = replace(resolve_target(target), aws_secret=None, database_name=database)
    conn = connect_admin(other, budget.check())
    try:
        session = Session(conn, target_name=f"{target.name}/{database}", budget=budget)
        with session.open():
            yield session
    finally:
        with suppress(psycopg.Error):
            conn.close()


def connect_login(
    target: Target,
    *,
    role: str,
    password: str,
    server_version: int,
    timeout_seconds: float,
    keys: ScramKeys | None = None,
) -> psycopg.Connection:
    """Log in as a login role that the portal made, through the endpoint that its user gets.

    `keys` spare libpq the derivation from the password, which takes longer than all the rest of a sign-in.

    Raises TargetUnavailable, or TargetRefused when nobody's login would be let in.
    """
    budget = Budget(min(timeout_seconds, LONGEST_SECONDS))
    as_role = replace(resolve_target(target), aws_secret=None, username=role, password=password)
    name = f"{APPLICATION_NAME} check"
    if keys is not None:
        try:
            return _connect_first(as_role, budget, name, libpq_keys(keys))
        except Nowhere:
            pass  # another worker on the same grant may have given the role another verifier of its password
    return _connect(as_role, budget, application_name=name, made_on=server_version)


def connect_admin(target: Target, timeout_seconds: float) -> psycopg.Connection:
    """Open an admin connection outside of the pool and step into the admin role where possible."""
    budget = Budget(min(timeout_seconds, LONGEST_SECONDS))
    conn = _connect_resolved(target, budget)
    conn_host, conn_port = conn.info.host, conn.info.port
    try:
        setup = setup_session(conn.info.server_version // 10_000)
        cursor = conn.cursor(row_factory=dict_row)
        with budget.watch(conn):
            row = cursor.execute(setup.query.as_bytes(conn), prepare=False).fetchall()[0]
            question = read_backend(reads_cluster=row["reads_cluster"])
            backend = cursor.execute(question.query.as_bytes(conn)).fetchall()[0]
            pid, cluster = backend["pid"], backend["cluster"]
    except (psycopg.Error, TargetUnavailable, LookupError) as error:
        conn.close()
        sqlstate = getattr(error, "sqlstate", "") or ""
        raise Interrupted(
            f"“{target.name}” was reached, but the session could not be set up.",
            why=f"PostgreSQL answers {sqlstate}." if sqlstate else "The connection was lost, or was too slow.",
            todo="It is tried again by itself.",
            sqlstate=sqlstate,
        ) from None
    if pid != conn.info.backend_pid:
        conn.close()
        raise pooler_found(conn_host, conn_port)
    remember_cluster(conn, cluster)
    return conn


def keep_connection(target: Target, *, for_seconds: float, timeout_seconds: float) -> None:
    """Hold one admin connection open, so that an ending gets in when nobody else does.

    Raises TargetUnavailable or TargetRefused when there is none, and none can be made.
    """
    _pool_of(target).keep_open(for_seconds, timeout_seconds)


def forget_connections(target: Target) -> None:
    """Close the target's idle connections: one of them was found dead. A list of hosts is tried from its start."""
    _pool_of(target).drop_idle()
    forget_host(target)


def close_pools() -> None:
    """Close every pool of this process."""
    _registry.close()


def _pool_of(target: Target) -> Pool:
    largest = max(1, min(target.max_connections or LARGEST, LARGEST))
    smallest = min(target.min_connections or 0, largest)
    return _registry.pool_of(
        target, lambda: Pool(lambda seconds: connect_admin(target, seconds), smallest=smallest, largest=largest)
    )


def _connect_resolved(target: Target, budget: Budget) -> psycopg.Connection:
    """Connect; a refused sign-in with a secret reads the secret once more, because it may have been rotated."""
    first = resolve_target(target)
    try:
        return _connect(first, budget)
    except TargetRefused as error:
        if error.sqlstate not in REFUSED_LOG_IN or not forget_secret(target):
            raise
        second = resolve_target(target)
        if second == first:
            raise
        return _connect(second, budget)


def _connect(
    target: Target,
    budget: Budget,
    *,
    application_name: str = APPLICATION_NAME,
    made_on: int = 0,
) -> psycopg.Connection:
    """Connect to the one host, or to the first of a list that will do; tell in words why none does.

    `made_on` is the server's major version when the portal made the login itself.
    """
    try:
        return _connect_first(target, budget, application_name)
    except Nowhere:
        raise diagnose(target, budget, made_on=made_on) from None


class Nowhere(Exception):
    """No host let us in, for reasons that are still to be found out."""


def _connect_first(
    target: Target, budget: Budget, application_name: str, keys: Mapping[str, Any] | None = None
) -> psycopg.Connection:
    """Connect to the one host, or to the first of a list that will do.

    Raises Nowhere, or in words that those which let us in are standbys.
    """
    if not has_several_hosts(target):
        try:
            return _connect_host(target, target.host, budget.check() * ATTEMPTS_SHARE, application_name, keys)
        except NO_CONNECTION:
            raise Nowhere from None
    found: dict[str, str] = {}
    hosts = _answering(target, budget)
    for number, host in enumerate(hosts):
        try:
            seconds = budget.check() * ATTEMPTS_SHARE / (len(hosts) - number)
            conn = _connect_host(target, host, seconds, application_name, keys)
        except NO_CONNECTION:
            found[host] = "no connection"
            continue
        if not (wants_primary(target) and is_standby(conn)):
            remember_host(target, host)
            return conn
        found[host] = "a standby"
        conn.close()
    forget_host(target)
    if "a standby" not in found.values():
        raise Nowhere
    raise none_takes_changes(target, {host: found.get(host, "no connection") for host in hosts_in_order(target)})


def _answering(target: Target, budget: Budget) -> list[str]:
    """Return the hosts of a list whose port answers, in the order in which they are asked; all are tried side by side.

    One that drops our packets would otherwise keep us from the next for seconds.
    """
    answers = knock(target, budget.part(KNOCK_SECONDS))
    return [host for host in hosts_in_order(target) if answers.get(host, True) is None]


def _connect_host(
    target: Target, host: str, seconds: float, application_name: str, keys: Mapping[str, Any] | None
) -> psycopg.Connection:
    """Connect within `seconds`. Raises what NO_CONNECTION names.

    psycopg bounds the wait for each address of the host, but not the look-up of the name, nor what libpq computes while
    it logs in: a server may ask for two thousand million rounds of key derivation.
    """

    def connect() -> psycopg.Connection:
        with libpq_tls(target) as tls:
            return psycopg.connect(
                host=host,
                port=target.port,
                dbname=target.database_name,
                user=target.username,
                password=target.password or None,
                passfile=NOWHERE,
                connect_timeout=max(2, min(CONNECT_SECONDS, int(seconds))),
                application_name=application_name,
                client_encoding="UTF8",
                options=" ".join(f"-c {name}={value.replace(' ', _ESCAPED_BLANK)}" for name, value in SETTINGS.items()),
                target_session_attrs="any",
                autocommit=True,
                prepare_threshold=None,
                **KEEPALIVE,
                **_authentication(target),
                **(keys or {}),
                **tls,
            )

    return within(seconds, ("log in", host, target.port), connect, undo=psycopg.Connection.close)


def _authentication(target: Target) -> dict[str, Any]:
    """Say what the server may ask for. A password is only ever proven by SCRAM."""
    if not target.password:
        return {}
    if target.tls_cert_file:
        return {"require_auth": "scram-sha-256,none"}
    # Without a verified certificate, channel binding is what keeps a relay out.
    binding = {"channel_binding": "require"} if target.ssl_mode is SslMode.REQUIRE else {}
    return {"require_auth": "scram-sha-256", **binding}
