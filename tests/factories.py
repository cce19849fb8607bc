"""Rows for tests: each function stores one valid object, and takes what a test wants different."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accessmgmt.domain.names import new_login_role_name
from accessmgmt.domain.states import EndReason, GrantState, RequestState, Verdict
from accessmgmt.domain.ttl import parse_ttl
from accessmgmt.models import (
    AccessRequest,
    Authorization,
    Decision,
    Endpoint,
    EndpointApprover,
    Grant,
    Group,
    GroupEndpoint,
    GroupMember,
    Resource,
    User,
)

_number = itertools.count(1)
PASSWORD = "correct-horse-battery-1"


def make_user(email: str = "", **fields: Any) -> User:
    """Store a user whose password is PASSWORD."""
    return User.objects.create_user(email or f"user{next(_number)}@company.com", PASSWORD, **fields)


def make_resource(**fields: Any) -> Resource:
    """Store a resource that nobody listens at, unless `host` and `port` are given."""
    defaults = {
        "name": f"resource-{next(_number)}",
        "host": "db.example.invalid",
        "port": 5432,
        "database_name": "production",
        "username": "portal_admin",
        "password": "the-admin-password",
    }
    return Resource.objects.create(**{**defaults, **fields})


def make_authorization(**fields: Any) -> Authorization:
    """Store an authorization: SELECT on all tables in public."""
    defaults = {
        "name": f"authorization-{next(_number)}",
        "permissions": {"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]},
    }
    return Authorization.objects.create(**{**defaults, **fields})


def make_endpoint(*, approvers: Iterable[str] = (), **fields: Any) -> Endpoint:
    """Store an endpoint with a ttl of 8h, with a resource and an authorization of its own unless given."""
    fields.setdefault("name", f"endpoint-{next(_number)}")
    fields.setdefault("ttl", "8h")
    fields["ttl_seconds"] = parse_ttl(fields["ttl"])
    fields["resource"] = fields.get("resource") or make_resource()
    fields["authorization"] = fields.get("authorization") or make_authorization()
    endpoint = Endpoint.objects.create(**fields)
    EndpointApprover.objects.bulk_create(EndpointApprover(endpoint=endpoint, email=email) for email in approvers)
    return endpoint


def make_group(*, members: Iterable[User | str] = (), endpoints: Iterable[Endpoint] = (), **fields: Any) -> Group:
    """Store a group with its members (users or addresses) and wires."""
    group = Group.objects.create(**{"name": f"group-{next(_number)}", **fields})
    addresses = [member.email if isinstance(member, User) else member for member in members]
    GroupMember.objects.bulk_create(GroupMember(group=group, email=email) for email in addresses)
    GroupEndpoint.objects.bulk_create(GroupEndpoint(group=group, endpoint=endpoint) for endpoint in endpoints)
    return group


def make_grant(state: str = GrantState.ACTIVE, **fields: Any) -> Grant:
    """Store a grant in a state, with everything that the state's constraints ask for."""
    user = fields.pop("user", None) or make_user()
    endpoint = fields.pop("endpoint", None) or make_endpoint()
    now = timezone.now()
    values: dict[str, Any] = {
        "user": user,
        "endpoint": endpoint,
        "resource": endpoint.resource,
        "permissions": endpoint.authorization.permissions,
        "permissions_digest": endpoint.authorization.permission_set.digest,
        "ttl_seconds": endpoint.ttl_seconds,
        "role_name": new_login_role_name(user.email),
        "password": "the-login-password",
        "state": state,
    }
    if state != GrantState.QUEUED:
        values["applying_at"] = now
    if state in {GrantState.ACTIVE, GrantState.ENDING, GrantState.ENDED}:
        values |= {
            "role_oid": 16_384,
            "active_at": now,
            "expires_at": now + timedelta(seconds=endpoint.ttl_seconds),
            "apply_receipt": APPLY_RECEIPT,
        }
    if state in {GrantState.ENDING, GrantState.ENDED}:
        values |= {"end_reason": EndReason.RELEASED, "end_requested_at": now}
    if state == GrantState.ENDED:
        values |= {"ended_at": now, "password": "", "end_receipt": END_RECEIPT}
    if state == GrantState.FAILED:
        values |= {
            "ended_at": now,
            "refused_at": now,
            "password": "",
            "last_error": {
                "what": "permission denied",
                "why": "no grant option",
                "todo": "GRANT …",
                "sqlstate": "42501",
            },
        }
    return Grant.objects.create(**{**values, **fields})


def make_request(state: str = RequestState.PENDING, *, decided_by: User | None = None, **fields: Any) -> AccessRequest:
    """Store an access request for 1 hour; one that is approved or denied has one vote, of `decided_by`."""
    endpoint = fields.pop("endpoint", None) or make_endpoint(is_requestable=True)
    now = timezone.now()
    values: dict[str, Any] = {
        "user": fields.pop("user", None) or make_user(),
        "endpoint": endpoint,
        "resource": endpoint.resource,
        "reason": "Looking into ticket 4711",
        "duration": "1h",
        "duration_seconds": 3600,
        "permissions": endpoint.authorization.permissions,
        "permissions_digest": endpoint.authorization.permission_set.digest,
        "lapses_at": now + timedelta(days=7),
    }
    request = AccessRequest.objects.create(**{**values, **fields})
    if state == RequestState.PENDING:
        return request
    if state in set(Verdict):
        make_decision(request, state, **({"decider": decided_by} if decided_by else {}))
    return settle_request(request, state)


def settle_request(request: AccessRequest, state: str = RequestState.APPROVED) -> AccessRequest:
    """Bring a pending request to its end; `approved` and `denied` need a vote that says so."""
    request.state, request.settled_at = RequestState(state), timezone.now()
    request.granted_seconds = 3600 if state == RequestState.APPROVED else None
    request.save(update_fields=["state", "settled_at", "granted_seconds"])
    return request


def make_decision(request: AccessRequest, verdict: str = Verdict.APPROVED, **fields: Any) -> Decision:
    """Store one vote on a pending request; an approval is for 1 hour."""
    values: dict[str, Any] = {
        "request": request,
        "asker": request.user,
        "decider": fields.pop("decider", None) or make_user(),
        "verdict": verdict,
        "decided_at": timezone.now(),
        "approved_seconds": 3600 if verdict == Verdict.APPROVED else None,
    }
    return Decision.objects.create(**{**values, **fields})


APPLY_RECEIPT = {
    "role_oid": 16_384,
    "valid_until": "2030-01-01T00:00:00+00:00",
    "server_version": 18,
    "tables": [
        {"schema": "public", "table": "customers", "kind": "table", "privileges": ["SELECT"]},
        {"schema": "public", "table": "orders", "kind": "table", "privileges": ["SELECT"]},
    ],
    "table_count": 2,
    "unmatched": [],
    "public_extras": 0,
    "steps_ms": [["inspect", 2.1], ["login role", 6.4], ["verify", 11.0], ["total", 19.6]],
    "verified_at": "2030-01-01T00:00:00+00:00",
}
END_RECEIPT = {
    "role_name": "jit_alice_0123456789",
    "role_oid": 16_384,
    "role_was_absent": False,
    "sessions": [{"server": "primary", "pid": 4711, "application_name": "psql", "started_at": None}],
    "reassigned": [],
    "notes": [],
    "steps_ms": [["fence", 2.0], ["terminate", 95.0], ["drop", 1.5]],
    "verified_at": "2030-01-01T00:00:00+00:00",
}
