"""Counts what a storm left behind, with psycopg alone: it shares no code with the product whose work it judges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

GRACE_SECONDS = 5
SHORT_SECONDS = 60
OVER = ("ended", "failed")
UNFINISHED = ("queued", "applying", "ending")
GRANT_TAG = re.compile(r"access-portal:[^:]+:grant:([0-9a-f-]{36})(?::[0-9a-f]{24})?")

GRANTS = """
    SELECT id, role_name, state, ttl_seconds, last_error->>'what' AS error, attempts,
           state = ANY(%(over)s) OR coalesce(expires_at < now() - make_interval(secs => %(grace)s), false) AS is_over
    FROM accessmgmt_grant
"""
ROLES = """
    SELECT rolname AS name, shobj_description(oid, 'pg_authid') AS tag, rolcanlogin AS may_log_in,
           coalesce(rolvaliduntil, 'infinity') = 'infinity' AS is_endless,
           coalesce(rolvaliduntil < now() - make_interval(secs => %(grace)s), false) AS is_past
    FROM pg_roles
    WHERE shobj_description(oid, 'pg_authid') LIKE 'access-portal:%%:grant:%%'
       OR rolcanlogin AND rolname ~ '^jit_.*_[a-z0-9]{10}$'
"""
SESSIONS = """
    SELECT a.pid, r.rolname AS name FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.backend_type = 'client backend' AND a.usesysid IS NOT NULL
"""


@dataclass(frozen=True)
class Login:
    """What a person was shown."""

    role: str
    password: str


@dataclass(frozen=True)
class Verdict:
    """What must not be there, each as a line of text, and what is there by right."""

    leaked: tuple[str, ...]
    unknown: tuple[str, ...]
    stuck: tuple[str, ...]
    missing: tuple[str, ...]
    states: Mapping[str, int]
    soon_over: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is there that must not be."""
        return not (self.leaked or self.unknown or self.stuck or self.missing)


@dataclass(frozen=True)
class Checker:
    """Connection strings of superusers: the portal's database, and a database of each server that people log in to."""

    portal: str
    primary: str
    standby: str

    def look(self, logins: Sequence[Login] = ()) -> Verdict:
        """Compare the servers with the portal's table; try to log in with every password that is given."""
        grants = rows(self.portal, GRANTS, over=list(OVER), grace=GRACE_SECONDS)
        roles = rows(self.primary, ROLES, grace=GRACE_SECONDS)
        leaked, unknown = judge_roles(roles, grants)
        for server in (self.primary, self.standby):
            leaked += judge_sessions(rows(server, SESSIONS), grants)
        missing = missing_roles(roles, grants)
        late, refused = self._try_logins(logins, grants)
        states = [grant.state for grant in grants]
        return Verdict(
            leaked=(*leaked, *late),
            unknown=tuple(unknown),
            stuck=tuple(stuck_grants(grants)),
            missing=(*missing, *refused),
            states={state: states.count(state) for state in sorted(set(states))},
            soon_over=sum(grant.state == "active" and grant.ttl_seconds <= SHORT_SECONDS for grant in grants),
        )

    def _try_logins(self, logins: Sequence[Login], grants: Sequence[Any]) -> tuple[list[str], list[str]]:
        """Return the sign-ins that are accepted past their time, and those of active grants that are refused."""
        known = {grant.role_name: grant for grant in grants}
        late, refused = [], []
        for login in logins:
            grant = known.get(login.role)
            if grant is not None and grant.state == "active" and not grant.is_over:
                if grant.ttl_seconds > SHORT_SECONDS and not accepts(self.primary, login):
                    refused.append(f"{login.role} is active and cannot log in")
                continue
            for name, server in (("primary", self.primary), ("standby", self.standby)):
                if accepts(server, login):
                    late.append(f"login {login.role} is accepted on the {name}: {grant}")
        return late, refused


def rows(dsn: str, query: str, **values: Any) -> list[Any]:
    """Return what a query finds."""
    with psycopg.connect(dsn, autocommit=True, row_factory=namedtuple_row) as conn:
        return conn.execute(query, values).fetchall()


def judge_roles(roles: Sequence[Any], grants: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Return the roles that are there past their time, and those that no grant knows."""
    known = {grant.id: grant for grant in grants}
    leaked, unknown = [], []
    for role in roles:
        match = GRANT_TAG.fullmatch(role.tag or "")
        grant = known.get(UUID(match[1])) if match else None
        if grant is None or grant.role_name != role.name:
            unknown.append(f"{role.name} with the tag {role.tag!r}")
        elif grant.is_over or role.is_past or (role.may_log_in and role.is_endless):
            leaked.append(f"role {role.name} is there: {role} of {grant}")
    return leaked, unknown


def judge_sessions(sessions: Sequence[Any], grants: Sequence[Any]) -> list[str]:
    """Return the sessions of roles that are gone, and of grants whose time is over."""
    over = {grant.role_name for grant in grants if grant.is_over}
    late = [row for row in sessions if row.name is None or row.name in over]
    return [f"session {row.name or 'of-a-dropped-role'} has the process {row.pid}" for row in late]


def missing_roles(roles: Sequence[Any], grants: Sequence[Any]) -> list[str]:
    """Return the grants that the portal calls active and that have no role; those that end in a moment do not count."""
    there = {role.name for role in roles}
    active = [grant for grant in grants if grant.state == "active" and grant.ttl_seconds > SHORT_SECONDS]
    return [f"{grant.role_name} is active and not there" for grant in active if grant.role_name not in there]


def stuck_grants(grants: Sequence[Any]) -> list[str]:
    """Return the grants that should have come to a state that stays, and have not."""
    return [str(grant) for grant in grants if grant.state in UNFINISHED or (grant.state == "active" and grant.is_over)]


def accepts(server: str, login: Login) -> bool:
    """Try to log in as a person would. A server that does not answer at all is an error, not a refusal."""
    try:
        psycopg.connect(server, user=login.role, password=login.password).close()
    except psycopg.OperationalError as error:
        if "FATAL" not in str(error):
            raise
        return False
    return True
