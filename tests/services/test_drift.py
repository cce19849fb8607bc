"""Drift as the portal sees it: what is stored, audited, repaired, ended; who may; and that one waits for no other."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftChange, DriftKind
from accessmgmt.domain.errors import ConflictError, ForbiddenError
from accessmgmt.domain.states import EndReason, GrantState, Work
from accessmgmt.models import AuditEvent, DriftCheck, Endpoint, Grant, Installation, TargetSilence, User
from accessmgmt.models.installation import this_installation
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.selectors.oversight.drift import findings_of, newest_changes
from accessmgmt.services import installation
from accessmgmt.services.grants import apply, endings
from accessmgmt.services.grants.stop import begin_end
from accessmgmt.services.targets import drift, strangers
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import log_in, make_target, slow_to_end

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(target_server: Callable[[int], PostgresServer]) -> PostgresServer:
    """The target."""
    return target_server(18)


@pytest.fixture
def facts(server: PostgresServer) -> dict[str, Any]:
    """The connection fields of a database of its own."""
    return make_target(server)


@pytest.fixture
def endpoint(facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """SELECT on a pattern of that database, of an installation of its own: the server is shared by many tests."""
    monkeypatch.setattr(settings, "PORTAL_INSTALLATION_ID", secrets.token_hex(6))
    pattern = factories.make_authorization(
        permissions={"grants": ["SELECT"], "schemas": ["public"], "tables": ["cust*", "new_*"]}
    )
    return factories.make_endpoint(resource=factories.make_resource(**facts), authorization=pattern)


@pytest.fixture(autouse=True)
def _no_pools_left() -> Any:
    yield
    close_pools()


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What workers were woken for."""
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(waking, "_send", lambda task, pk, expires=None: sent.append((task.name, pk)))
    return sent


def active(endpoint: Endpoint) -> Grant:
    grant = factories.make_grant("queued", endpoint=endpoint)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
    grant.refresh_from_db()
    return grant


def as_dba(server: PostgresServer, endpoint: Endpoint, *statements: str) -> None:
    with server.connect(endpoint.resource.database_name) as conn:
        for statement in statements:
            conn.execute(statement)  # type: ignore[call-overload]


def kinds(check: DriftCheck) -> set[DriftKind]:
    return {finding.kind for finding in findings_of(check)}


def test_a_check_stores_what_it_found_and_audits_it_once(
    server: PostgresServer, endpoint: Endpoint, dave: User
) -> None:
    grant = active(endpoint)
    check = drift.check_now(actor=dave, resource=endpoint.resource)
    assert (check.findings, check.error) == ([], None)
    as_dba(server, endpoint, f"ALTER ROLE \"{grant.role_name}\" VALID UNTIL 'infinity'")
    assert drift.check_resource(endpoint.resource.pk) == "1 differences"
    assert drift.check_resource(endpoint.resource.pk) == "1 differences"
    check.refresh_from_db()
    assert kinds(check) == {DriftKind.ATTRIBUTE}
    assert check.took_ms > 0
    event = AuditEvent.objects.get(action="resource.drift_found")
    assert (event.actor_email, event.details["found"]) == ("portal", 1)


def test_a_repair_mends_what_was_confirmed_and_nothing_else(
    server: PostgresServer, endpoint: Endpoint, dave: User
) -> None:
    one, two = active(endpoint), active(endpoint)
    for grant in (one, two):
        as_dba(server, endpoint, f"ALTER ROLE \"{grant.role_name}\" VALID UNTIL 'infinity'")
    check = drift.check_now(actor=dave, resource=endpoint.resource)
    chosen = [finding.key for finding in findings_of(check) if finding.grant_id == str(one.pk)]
    report = drift.repair_now(actor=dave, resource=endpoint.resource, keys=chosen)
    assert [finding.grant_id for finding in report.mended] == [str(one.pk)]
    check.refresh_from_db()
    assert [finding.grant_id for finding in findings_of(check)] == [str(two.pk)]
    event = AuditEvent.objects.get(action="resource.drift_repaired")
    assert (event.actor_email, event.details["mended_count"]) == (dave.email, 1)


def test_repairs_run_by_themselves_only_where_an_admin_said_so(server: PostgresServer, endpoint: Endpoint) -> None:
    grant = active(endpoint)
    as_dba(server, endpoint, f"ALTER ROLE \"{grant.role_name}\" VALID UNTIL 'infinity'")
    assert drift.check_resource(endpoint.resource.pk) == "1 differences"
    endpoint.resource.is_drift_repaired = True
    endpoint.resource.save()
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    assert AuditEvent.objects.get(action="resource.drift_repaired").actor_email == "portal"


def test_a_login_that_came_back_after_its_end_is_ended_again(server: PostgresServer, endpoint: Endpoint) -> None:
    """A server that was away at the end and is promoted brings it back; that is no sign of a restored backup."""
    grant = ended(endpoint)
    tag = this_installation().tag("grant", str(grant.pk), grant.role_name)
    as_dba(
        server,
        endpoint,
        "SET ROLE jit_portal",
        f'CREATE ROLE "{grant.role_name}" LOGIN',
        f"COMMENT ON ROLE \"{grant.role_name}\" IS '{tag}'",
    )
    check = drift.check_now(actor=factories.make_user(role=User.Role.ADMIN), resource=endpoint.resource)
    assert kinds(check) == {DriftKind.ORPHAN}
    assert not strangers.is_paused(endpoint.resource_id)
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    with server.connect() as conn:
        assert conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [grant.role_name]).fetchall() == []
    assert AuditEvent.objects.get(action="resource.drift_repaired").details["mended_count"] == 1


def test_a_forged_tag_stops_nothing(server: PostgresServer, endpoint: Endpoint) -> None:
    """Whoever may make roles on one server must not make the portal believe that its own database was restored."""
    grant = active(endpoint)
    stranger = f"stranger_{secrets.token_hex(4)}"
    true = this_installation().tag("grant", str(grant.pk), grant.role_name)
    for comment in (true, true.replace(str(grant.pk), str(uuid.uuid4()))):
        as_dba(server, endpoint, f'CREATE ROLE "{stranger}"', f"COMMENT ON ROLE \"{stranger}\" IS '{comment}'")
        assert drift.check_resource(endpoint.resource.pk) == "1 differences"
        assert kinds(DriftCheck.objects.get()) == {DriftKind.FOREIGN}
        assert not strangers.is_paused(endpoint.resource_id)
        assert not installation.check_identity()
        as_dba(server, endpoint, f'DROP ROLE "{stranger}"')
    begin_end(actor=None, grant_id=grant.pk, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)
    assert endings.end_grant(grant.pk) == GrantState.ENDED


def test_a_session_that_outlived_its_login_is_ended_unasked(
    server: PostgresServer, facts: dict[str, Any], endpoint: Endpoint
) -> None:
    grant = active(endpoint)
    with log_in(facts, grant.role_name, grant.password) as user:
        as_dba(server, endpoint, f'DROP ROLE "{grant.role_name}"')
        over(grant)
        assert drift.check_resource(endpoint.resource.pk) == "0 differences"
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")


def test_a_session_that_takes_its_time_to_end_is_no_false_alarm(
    server: PostgresServer, facts: dict[str, Any], endpoint: Endpoint
) -> None:
    """To tell it to end is no proof: the process may be held up. The page must not go on showing it either."""
    grant = active(endpoint)
    with log_in(facts, grant.role_name, grant.password) as user:
        as_dba(server, endpoint, f'DROP ROLE "{grant.role_name}"')
        over(grant)
        with slow_to_end(user.info.backend_pid):
            assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    assert DriftCheck.objects.get(resource=endpoint.resource).findings == []


def capability_of(grant: Grant) -> str:
    return grant.permission_set.capability_role_name(settings.PORTAL_INSTALLATION_ID)


PAYROLL = (
    "CREATE SCHEMA internal AUTHORIZATION app_owner",
    "SET ROLE app_owner",
    "CREATE TABLE internal.payroll (id int)",
)


def words_of(role: str) -> str:
    """What the portal says when it took SELECT on the payroll back from a role."""
    return str(DriftChange(role, "internal.payroll", "revoked SELECT", is_taken=True))


def give_payroll(server: PostgresServer, endpoint: Endpoint, role: str) -> None:
    as_dba(server, endpoint, "SET ROLE app_owner", f'GRANT SELECT ON internal.payroll TO "{role}"')


def test_what_the_resync_takes_back_is_audited_and_leaves_the_page(
    server: PostgresServer, endpoint: Endpoint, dave: User
) -> None:
    role = capability_of(active(endpoint))
    as_dba(server, endpoint, *PAYROLL)
    give_payroll(server, endpoint, role)
    check = drift.check_now(actor=dave, resource=endpoint.resource)
    assert [finding.object for finding in findings_of(check)] == ["internal.payroll"]
    assert drift.resync_resource(endpoint.resource.pk) == "in order"
    event = AuditEvent.objects.get(action="resource.drift_repaired")
    assert (event.actor_email, event.object_id) == ("portal", str(endpoint.resource.pk))
    assert event.details["mended"] == [words_of(role)]
    check.refresh_from_db()
    assert check.findings == [], "the page does not go on showing what is mended"
    [line] = newest_changes(endpoint.resource)
    assert (line.at, line.by, line.words) == (event.at, "", (words_of(role),))
    assert drift.resync_resource(endpoint.resource.pk) == "in order"
    assert AuditEvent.objects.filter(action="resource.drift_repaired").count() == 1


def test_new_tables_are_told_in_short(server: PostgresServer, endpoint: Endpoint) -> None:
    role = capability_of(active(endpoint))
    as_dba(server, endpoint, "SET ROLE app_owner", "CREATE TABLE new_one (id int)", "CREATE TABLE new_two (id int)")
    drift.resync_resource(endpoint.resource.pk)
    event = AuditEvent.objects.get(action="resource.objects_shared")
    assert event.details["given_count"] == 2
    assert f"gave SELECT on public.new_one to {role}" in event.details["given"]
    assert not AuditEvent.objects.filter(action="resource.drift_repaired").exists()


def test_what_an_activation_takes_back_first_is_audited(server: PostgresServer, endpoint: Endpoint) -> None:
    """Also where the set then is given to nobody, because only others can take the rest back."""
    role = capability_of(active(endpoint))
    assert not AuditEvent.objects.filter(action__startswith="resource.").exists(), "giving is no mending"
    as_dba(server, endpoint, *PAYROLL)
    give_payroll(server, endpoint, role)
    active(endpoint)
    event = AuditEvent.objects.get(action="resource.drift_repaired")
    assert event.details["mended"] == [words_of(role)]
    give_payroll(server, endpoint, role)
    as_dba(server, endpoint, f'GRANT SELECT ON pg_authid TO "{role}"')
    refused = factories.make_grant("queued", endpoint=endpoint)
    assert apply.apply_waiting_grant(refused.pk) == GrantState.FAILED
    refused.refresh_from_db()
    assert "pg_catalog.pg_authid" in refused.last_error["what"]
    assert AuditEvent.objects.filter(action="resource.drift_repaired").count() == 2


def test_a_set_that_nobody_uses_now_is_put_in_order_by_the_check(
    server: PostgresServer, endpoint: Endpoint, dave: User
) -> None:
    role = capability_of(ended(endpoint))
    as_dba(server, endpoint, *PAYROLL)
    give_payroll(server, endpoint, role)
    check = drift.check_now(actor=dave, resource=endpoint.resource)
    assert [finding.object for finding in findings_of(check)] == ["internal.payroll"], "whoever asks sees it"
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    event = AuditEvent.objects.get(action="resource.drift_repaired")
    assert event.details["mended"] == [words_of(role)]


def test_another_database_counts_only_where_the_portal_gives_the_set_there(
    server: PostgresServer, endpoint: Endpoint, dave: User
) -> None:
    """Two resources may be one server: the capability role is the same for both."""
    role = capability_of(active(endpoint))
    elsewhere = make_target(server)
    other = factories.make_resource(**elsewhere)
    with server.connect(other.database_name) as conn:
        conn.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"')  # type: ignore[call-overload]
    check = drift.check_now(actor=dave, resource=endpoint.resource)
    assert [finding.object for finding in findings_of(check)] == [f"database {other.database_name}"]
    active(factories.make_endpoint(resource=other, authorization=endpoint.authorization))
    assert drift.check_now(actor=dave, resource=endpoint.resource).findings == []


def test_a_capability_role_that_cannot_be_dropped_is_shown_with_what_holds_it(
    server: PostgresServer, endpoint: Endpoint
) -> None:
    grant = ended(endpoint)
    as_dba(server, endpoint, f'GRANT SELECT ON pg_authid TO "{capability_of(grant)}"')
    days = settings.PORTAL_CAPABILITY_KEEP_DAYS
    Grant.objects.filter(pk=grant.pk).update(ended_at=timezone.now() - timedelta(days=days, minutes=1))
    drift.check_resource(endpoint.resource.pk)
    [finding] = findings_of(DriftCheck.objects.get(resource=endpoint.resource))
    assert (finding.kind, finding.object) == (DriftKind.UNUSED, capability_of(grant))
    assert "pg_authid" in finding.what


def test_what_a_capability_role_came_to_own_is_handed_over_unasked(
    target_server: Callable[[int], PostgresServer], dave: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of it runs with everybody's rights of the set, also for those whose grant is over."""
    server = target_server(14)
    monkeypatch.setattr(settings, "PORTAL_INSTALLATION_ID", secrets.token_hex(6))
    facts = make_target(server)
    endpoint = factories.make_endpoint(resource=factories.make_resource(**facts))
    grant = active(endpoint)
    with log_in(facts, grant.role_name, grant.password) as user:
        user.execute(f'SET ROLE "{capability_of(grant)}"')  # type: ignore[call-overload]
        user.execute("CREATE FUNCTION public.peek() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    assert kinds(drift.check_now(actor=dave, resource=endpoint.resource)) == {DriftKind.OWNERSHIP}
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    with server.connect(facts["database_name"]) as conn:
        owner = "SELECT pg_get_userbyid(proowner), prosecdef FROM pg_proc WHERE proname = 'peek'"
        assert conn.execute(owner).fetchall() == [("jit_quarantine", False)]


def test_what_a_set_that_nobody_has_passed_on_is_taken_back_unasked(server: PostgresServer, endpoint: Endpoint) -> None:
    """Also of a set that the portal has forgotten, and whose role it may not drop."""
    grant = ended(endpoint)
    capability, friend = capability_of(grant), f"friend_{secrets.token_hex(4)}"
    as_dba(
        server,
        endpoint,
        f"CREATE ROLE {friend}",
        f'CREATE POLICY mine ON customers TO "{capability}" USING (true)',
        f'GRANT SELECT ON customers TO "{capability}" WITH GRANT OPTION',
        f'SET ROLE "{capability}"',
        f"GRANT SELECT ON customers TO {friend}",
    )
    days = settings.PORTAL_CAPABILITY_KEEP_DAYS
    Grant.objects.filter(pk=grant.pk).update(ended_at=timezone.now() - timedelta(days=days, minutes=1))
    may_read = f"SELECT has_table_privilege('{friend}', 'customers', 'SELECT')"
    with server.connect(endpoint.resource.database_name) as conn:
        assert conn.execute(may_read).fetchall() == [(True,)]  # type: ignore[call-overload]
        drift.check_resource(endpoint.resource.pk)
        assert conn.execute(may_read).fetchall() == [(False,)]  # type: ignore[call-overload]
    assert DriftKind.PASSED_ON not in kinds(DriftCheck.objects.get(resource=endpoint.resource))


def ended(endpoint: Endpoint) -> Grant:
    grant = active(endpoint)
    begin_end(actor=None, grant_id=grant.pk, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)
    assert endings.end_grant(grant.pk) == GrantState.ENDED
    return grant


def over(grant: Grant) -> None:
    """Say of a grant that it is over, without looking at the target."""
    now = timezone.now()
    Grant.objects.filter(pk=grant.pk).update(
        state=GrantState.ENDED,
        end_reason=EndReason.REVOKED,
        end_requested_at=now,
        ended_at=now,
        password="",
        end_receipt=factories.END_RECEIPT,
    )


def test_a_grant_whose_role_vanished_is_ended_and_never_made_again(
    server: PostgresServer, endpoint: Endpoint, dave: User
) -> None:
    grant, another = active(endpoint), active(endpoint)
    as_dba(server, endpoint, f'DROP ROLE "{grant.role_name}"')
    check = drift.check_now(actor=dave, resource=endpoint.resource)
    assert kinds(check) == {DriftKind.VANISHED}
    keys = [finding.key for finding in findings_of(check)]
    drift.repair_now(actor=dave, resource=endpoint.resource, keys=keys)
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason, grant.ended_by) == (GrantState.ENDING, EndReason.REVOKED, dave)
    another.refresh_from_db()
    assert another.state == GrantState.ACTIVE
    assert AuditEvent.objects.filter(action="grant.role_vanished").exists()
    assert endings.end_grant(grant.pk) == GrantState.ENDED
    grant.refresh_from_db()
    assert grant.end_receipt["role_was_absent"] is True


def test_grants_on_their_way_and_of_other_resources_are_no_orphans(
    facts: dict[str, Any], endpoint: Endpoint, dave: User
) -> None:
    other = factories.make_endpoint(resource=factories.make_resource(**facts))
    ending, elsewhere = active(endpoint), active(other)
    Grant.objects.filter(pk=ending.pk).update(
        state=GrantState.ENDING, end_reason=EndReason.RELEASED, end_requested_at=timezone.now()
    )
    assert drift.check_now(actor=dave, resource=endpoint.resource).findings == []
    Grant.objects.filter(pk=elsewhere.pk).update(role_name="jit_renamed_0123456789")
    assert kinds(drift.check_now(actor=dave, resource=endpoint.resource)) == {DriftKind.ORPHAN}


def test_a_grant_that_came_while_the_server_was_looked_at_is_no_orphan(
    endpoint: Endpoint, dave: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drift.resync.check_drift

    def check_beside_an_activation(*args: Any, **kwargs: Any) -> Any:
        active(endpoint)  # after the portal's own rows were read, before the server is
        return real(*args, **kwargs)

    monkeypatch.setattr(drift.resync, "check_drift", check_beside_an_activation)
    assert drift.check_now(actor=dave, resource=endpoint.resource).findings == []


def test_new_tables_of_a_pattern_become_usable_by_the_resync(
    server: PostgresServer, facts: dict[str, Any], endpoint: Endpoint, woken: list[tuple[str, str]]
) -> None:
    grant = active(endpoint)
    as_dba(server, endpoint, "SET ROLE app_owner", "CREATE TABLE new_one (id int)")
    with log_in(facts, grant.role_name, grant.password) as user:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            user.execute("SELECT * FROM new_one")
        assert drift.wake_due() >= 1
        assert ("RESYNC_RESOURCE", str(endpoint.resource.pk)) in woken
        assert drift.resync_resource(endpoint.resource.pk) == "in order"
        user.execute("SELECT * FROM new_one")


def test_a_target_out_of_reach_is_left_alone_for_a_while(endpoint: Endpoint, woken: list[tuple[str, str]]) -> None:
    grant = active(endpoint)
    resource = endpoint.resource
    resource.port = 1
    resource.save()
    close_pools()
    assert drift.resync_resource(resource.pk) == "out of reach"
    check = DriftCheck.objects.get(resource=resource)
    assert check.error["what"]
    woken.clear()
    drift.wake_due()
    assert str(resource.pk) not in {pk for _, pk in woken}
    silence = TargetSilence.objects.get(resource=resource, work=Work.COMPARE)
    assert silence.what == check.error["what"]
    TargetSilence.objects.update(ask_again_at=timezone.now())
    drift.wake_due()
    assert ("RESYNC_RESOURCE", str(resource.pk)) in woken
    assert drift.resync_resource(resource.pk) == "out of reach"
    again = TargetSilence.objects.get(pk=silence.pk)
    assert (again.tries, again.since) == (2, silence.since)
    assert grant.state == GrantState.ACTIVE


def test_no_two_at_once_for_one_resource(endpoint: Endpoint, dave: User, monkeypatch: pytest.MonkeyPatch) -> None:
    active(endpoint)
    monkeypatch.setattr(drift, "PATIENCE_SECONDS", 0.1)
    options = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password")
    with psycopg.connect(**{name: options[name] for name in names if name in options}, autocommit=True) as another:
        another.execute("SELECT pg_advisory_lock(%s, %s)", [drift.LOCK, endpoint.resource.pk])
        assert drift.resync_resource(endpoint.resource.pk) == "another worker is at it"
        assert drift.check_resource(endpoint.resource.pk) == "another worker is at it"
        with pytest.raises(ConflictError):
            drift.check_now(actor=dave, resource=endpoint.resource)
    assert drift.resync_resource(endpoint.resource.pk) == "in order"


def test_who_may(endpoint: Endpoint, alice: User, erin: User) -> None:
    for person in (alice, erin):
        with pytest.raises(ForbiddenError):
            drift.check_now(actor=person, resource=endpoint.resource)
        with pytest.raises(ForbiddenError):
            drift.repair_now(actor=person, resource=endpoint.resource, keys=[])


def test_a_portal_that_only_observes_changes_nothing(server: PostgresServer, endpoint: Endpoint, dave: User) -> None:
    grant = active(endpoint)
    as_dba(server, endpoint, f"ALTER ROLE \"{grant.role_name}\" VALID UNTIL 'infinity'")
    Installation.objects.update_or_create(
        pk=1, defaults={"database_identity": "other", "observing_since": timezone.now()}
    )
    endpoint.resource.is_drift_repaired = True
    endpoint.resource.save()
    as_dba(server, endpoint, *PAYROLL)
    give_payroll(server, endpoint, capability_of(grant))
    assert drift.resync_resource(endpoint.resource.pk) == "nothing to do"
    assert drift.check_resource(endpoint.resource.pk) == "2 differences"
    assert not AuditEvent.objects.filter(action="resource.drift_repaired").exists()
    with pytest.raises(ConflictError):
        drift.repair_now(actor=dave, resource=endpoint.resource, keys=["x"])


def test_capability_roles_are_dropped_days_after_their_last_grant(
    server: PostgresServer, endpoint: Endpoint, woken: list[tuple[str, str]]
) -> None:
    grant = active(endpoint)
    begin_end(actor=None, grant_id=grant.pk, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)
    assert endings.end_grant(grant.pk) == GrantState.ENDED
    tag = f"access-portal:{settings.PORTAL_INSTALLATION_ID}:set:%"

    def sets() -> int:
        with server.connect() as conn:
            query = "SELECT count(*) FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE %s"
            return int(conn.execute(query, [tag]).fetchall()[0][0])

    drift.check_resource(endpoint.resource.pk)
    assert sets() == 1
    days = settings.PORTAL_CAPABILITY_KEEP_DAYS
    Grant.objects.filter(pk=grant.pk).update(ended_at=timezone.now() - timedelta(days=days, minutes=1))
    drift.check_resource(endpoint.resource.pk)
    assert sets() == 0
    assert len(AuditEvent.objects.get(action="resource.sets_retired").details["roles"]) == 1


def test_what_a_killed_connection_test_left_is_swept_and_the_portal_goes_on(
    server: PostgresServer, endpoint: Endpoint
) -> None:
    """Its login is no orphan, before and after its time: a portal that sees one begins to observe."""
    ours = this_installation()
    role = "jit_rehearsal_0123456789"
    as_dba(
        server,
        endpoint,
        f"SET ROLE jit_portal; CREATE ROLE {role} LOGIN VALID UNTIL '2999-01-01'; RESET ROLE",
        f"COMMENT ON ROLE {role} IS '{ours.tag('grant', 'rehearsal-1', role)}'",
    )
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    assert not installation.check_identity()
    as_dba(server, endpoint, f"ALTER ROLE {role} VALID UNTIL '2001-01-01'")
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    assert not installation.check_identity()
    with server.connect(endpoint.resource.database_name) as conn:
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [role]).fetchall() == [(0,)]


def test_what_was_left_in_a_sets_name_is_disarmed_unasked(server: PostgresServer, endpoint: Endpoint) -> None:
    """It gives everybody what the set may do, also when nothing is repaired by itself there."""
    grant = active(endpoint)
    role = grant.permission_set.capability_role_name(settings.PORTAL_INSTALLATION_ID)
    assert not endpoint.resource.is_drift_repaired
    as_dba(
        server,
        endpoint,
        "CREATE FUNCTION public.peek() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        f'ALTER FUNCTION public.peek() OWNER TO "{role}"',
        "GRANT CREATE ON SCHEMA public TO jit_quarantine",
    )
    assert drift.check_resource(endpoint.resource.pk) == "0 differences"
    event = AuditEvent.objects.get(action="resource.drift_repaired")
    assert (event.actor_email, event.details["mended_count"]) == ("portal", 1)
