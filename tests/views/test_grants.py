"""Connect, release, revoke, and the list of grants."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accessmgmt.models import AuditEvent, Grant, User
from tests.factories import (
    APPLY_RECEIPT,
    make_decision,
    make_endpoint,
    make_grant,
    make_request,
    make_resource,
    settle_request,
)

ClientFor = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def grant(alice: User) -> Grant:
    resource = make_resource(
        name="Prod DB", host="prod.example.com", ssl_mode="verify-full", tls_root_cert="-----BEGIN CERTIFICATE-----"
    )
    return make_grant(user=alice, endpoint=make_endpoint(resource=resource))


class TestButtons:
    def test_only_admins_see_buttons_to_end(self, client_for: ClientFor, grant: Grant, dave: User, erin: User) -> None:
        assert b"End now" in client_for(dave).get("/grants/").content
        assert b"End now" not in client_for(erin).get("/grants/").content
        assert b"End now" in client_for(dave).get(f"/grants/{grant.pk}").content
        assert b"End now" not in client_for(erin).get(f"/grants/{grant.pk}").content


class TestConnect:
    def test_page_shows_how_to_connect_but_no_password(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        for part in ("prod.example.com", grant.role_name, "psql", "prod-db-ca.pem", "public.customers"):
            assert part in text
        assert grant.password not in text

    def test_an_admin_has_no_password_row(self, client_for: ClientFor, dave: User, grant: Grant) -> None:
        assert b"/password" not in client_for(dave).get(f"/grants/{grant.pk}").content

    def test_password_is_shown_by_post_never_stored_and_audited(
        self, client_for: ClientFor, alice: User, grant: Grant
    ) -> None:
        client = client_for(alice)
        assert client.get(f"/grants/{grant.pk}/password").status_code == 405
        part = client.post(f"/grants/{grant.pk}/password", headers=HTMX)
        assert "no-store" in part.headers["Cache-Control"]
        assert grant.password in part.content.decode()
        assert "<html" not in part.content.decode()
        whole = client.post(f"/grants/{grant.pk}/password")
        assert grant.password in whole.content.decode()
        assert "no-store" in whole.headers["Cache-Control"]
        assert "<html" in whole.content.decode()
        assert AuditEvent.objects.filter(action="grant.password_shown").count() == 2

    def test_no_password_once_the_time_is_over(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        Grant.objects.filter(pk=grant.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        response = client_for(alice).post(f"/grants/{grant.pk}/password", headers=HTMX)
        assert response.status_code == 409
        assert grant.password not in response.content.decode()

    def test_ca_certificate_downloads(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        response = client_for(alice).get(f"/grants/{grant.pk}/ca.pem")
        assert response.headers["Content-Type"] == "application/x-pem-file"
        assert response.headers["Content-Disposition"] == 'attachment; filename="prod-db-ca.pem"'
        assert client_for(alice).get(f"/grants/{make_grant(user=alice).pk}/ca.pem").status_code == 404

    def test_what_is_unknown_is_a_dash(self, client_for: ClientFor, alice: User) -> None:
        resource = make_resource(
            host="", database_name="", use_aws_secrets=True, aws_region="eu-central-1", aws_secret_name="x"
        )
        grant = make_grant(user=alice, endpoint=make_endpoint(resource=resource))
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        assert "AWS Secrets Manager" in text
        assert "host=HOST" in text

    def test_names_that_match_nothing_are_warned_of(self, client_for: ClientFor, alice: User) -> None:
        receipt = {**APPLY_RECEIPT, "unmatched": ["reports.daily"], "public_extras": 1, "table_count": 1_300}
        grant = make_grant(user=alice, apply_receipt=receipt)
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        assert "Nothing on the server matches reports.daily" in text
        assert "And 1,298 more tables" in text
        assert "1 more privilege on these tables comes from PUBLIC" in text

    def test_what_strangers_gave_besides_is_told(self, client_for: ClientFor, alice: User) -> None:
        gift = {"what": "walter gave SELECT on play.<b>.", "todo": 'The owner runs: REVOKE ALL ON play."<b>" FROM x;'}
        count = {"what": "And 3 more: they stand on the resource's drift page.", "todo": ""}
        grant = make_grant(user=alice, apply_receipt={**APPLY_RECEIPT, "gifts": [gift, count]})
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        assert "Others gave everybody with this permission set something of their own." in text
        assert "walter gave SELECT on play.&lt;b&gt;." in text
        assert "<code>The owner runs: REVOKE ALL ON play.&quot;&lt;b&gt;&quot; FROM x;</code>" in text
        assert "And 3 more" in text
        older = make_grant(user=alice, endpoint=make_endpoint())
        assert "Others gave everybody" not in client_for(alice).get(f"/grants/{older.pk}").content.decode()

    def test_the_sequences_that_come_with_the_tables_are_listed(self, client_for: ClientFor, alice: User) -> None:
        held = [{"schema": "public", "sequence": "orders_id_<seq>", "privileges": ["USAGE", "SELECT"]}]
        grant = make_grant(user=alice, apply_receipt={**APPLY_RECEIPT, "sequences": held, "sequence_count": 4})
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        assert "public.orders_id_&lt;seq&gt;" in text
        assert '<span class="privilege">USAGE</span><span class="privilege">SELECT</span>' in text
        assert "and 3 more alike" in text
        older = make_grant(user=alice, endpoint=make_endpoint())
        assert "come from sequences" not in client_for(alice).get(f"/grants/{older.pk}").content.decode()

    def test_hostile_names_stay_text(self, client_for: ClientFor, alice: User) -> None:
        endpoint = make_endpoint(name="<script>alert(1)</script>", resource=make_resource(database_name="</pre><b>x"))
        grant = make_grant(user=alice, endpoint=endpoint)
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        assert "<script>alert" not in text
        assert "</pre><b>" not in text


class TestStatus:
    def test_same_phase_gives_the_fragment(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        response = client_for(alice).get(f"/grants/{grant.pk}/status?phase=active", headers=HTMX)
        text = response.content.decode()
        assert 'id="grant-status"' in text
        assert "load delay:5s" in text
        assert "<html" not in text

    def test_another_phase_reloads_the_page(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        response = client_for(alice).get(f"/grants/{grant.pk}/status?phase=waiting", headers=HTMX)
        assert response.headers["HX-Refresh"] == "true"

    @pytest.mark.parametrize("state", ["ended", "failed"])
    def test_nothing_is_polled_when_it_is_over(self, client_for: ClientFor, alice: User, state: str) -> None:
        grant = make_grant(state, user=alice)
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        assert "/status" not in text
        assert "http-equiv" not in text

    def test_the_end_is_proved(self, client_for: ClientFor, alice: User) -> None:
        grant = make_grant("ended", user=alice)
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        for part in ("The login is gone", "Released by its person", "1 session cut", "psql", "process 4711"):
            assert part in text
        assert "/password" not in text

    def test_overdue_is_red_and_says_so(self, client_for: ClientFor, alice: User, dave: User) -> None:
        late = timezone.now() - timedelta(minutes=5)
        grant = make_grant("ending", user=alice, end_requested_at=late)
        assert b"state-red" in client_for(alice).get(f"/grants/{grant.pk}").content
        assert b"is-overdue" in client_for(alice).get("/").content
        listed = client_for(dave).get("/grants/?state=overdue").content.decode()
        assert "row-overdue" in listed
        assert re.search(r'nav-count-danger">1<', listed)

    def test_the_time_line_names_who_approved(self, client_for: ClientFor, alice: User, bob: User) -> None:
        request = make_request("approved", user=alice, decided_by=bob)
        grant = make_grant(user=alice, endpoint=request.endpoint, request=request)
        assert "by Bob Approver, for 1 hour" in client_for(alice).get(f"/grants/{grant.pk}").content.decode()

    def test_the_time_line_tells_every_vote(self, client_for: ClientFor, alice: User, bob: User, dave: User) -> None:
        request = make_request(user=alice)
        make_decision(request, "denied", decider=dave, comment="Use the replica")
        make_decision(request, decider=bob, approved_seconds=1800, comment="For once")
        grant = make_grant(user=alice, endpoint=request.endpoint, request=settle_request(request))
        text = client_for(alice).get(f"/grants/{grant.pk}").content.decode()
        denied, approved = "by Dave Admin: “Use the replica”", "by Bob Approver, for 30 minutes: “For once”"
        assert text.index(denied) < text.index(approved)


class TestEnding:
    def test_release_by_htmx_gives_the_card(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        text = client_for(alice).post(f"/grants/{grant.pk}/release", headers=HTMX).content.decode()
        assert "Ending" in text
        assert f"grant-card-{grant.pk}" in text

    def test_releasing_twice_is_a_conflict(self, client_for: ClientFor, alice: User, grant: Grant) -> None:
        client = client_for(alice)
        client.post(f"/grants/{grant.pk}/release")
        response = client.post(f"/grants/{grant.pk}/release", headers=HTMX)
        assert response.status_code == 409
        assert "already ending" in response.content.decode()

    def test_revoke_by_htmx_gives_the_row(self, client_for: ClientFor, dave: User, grant: Grant) -> None:
        text = client_for(dave).post(f"/grants/{grant.pk}/revoke", headers=HTMX).content.decode()
        assert text.strip().startswith(f'<tr id="grant-{grant.pk}"')
        assert "Ending" in text
        assert "End now" not in text

    def test_ending_asks_first(self, client_for: ClientFor, dave: User, grant: Grant) -> None:
        assert b"data-question" in client_for(dave).get("/grants/").content
        assert b"data-question" in client_for(dave).get(f"/grants/{grant.pk}").content


class TestList:
    def test_filters_stand_in_the_url(self, client_for: ClientFor, dave: User, alice: User, bob: User) -> None:
        hers, his = make_grant(user=alice), make_grant("ended", user=bob)
        client = client_for(dave)

        def listed(query: str) -> set[str]:
            return set(re.findall(r'<tr id="grant-([0-9a-f-]+)"', client.get(f"/grants/?{query}").content.decode()))

        both = {str(hers.pk), str(his.pk)}
        assert listed("") == both
        assert listed("person=ALICE") == {str(hers.pk)}
        assert listed("state=ended") == {str(his.pk)}
        assert listed("state=live") == {str(hers.pk)}
        assert listed(f"resource={his.resource_id}") == {str(his.pk)}
        assert listed(f"endpoint={hers.endpoint_id}") == {str(hers.pk)}
        assert listed("person=zzz") == set()
        assert listed("resource=abc&state=nonsense&page=99&person=%00") == both

    def test_htmx_gets_the_list_only(self, client_for: ClientFor, erin: User) -> None:
        text = client_for(erin).get("/grants/?state=active", headers=HTMX).content.decode()
        assert text.strip().startswith('<div class="card" id="rows">')
        assert "Nothing matches" in text

    def test_empty(self, client_for: ClientFor, erin: User) -> None:
        assert b"Nobody has had access yet" in client_for(erin).get("/grants/").content

    def test_pages_of_fifty_with_a_fixed_number_of_queries(
        self, client_for: ClientFor, dave: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = client_for(dave)
        make_grant()
        client.get("/grants/")
        with django_assert_num_queries(9):
            client.get("/grants/")
        for _ in range(55):
            make_grant()
        with django_assert_num_queries(9):
            text = client.get("/grants/").content.decode()
        assert text.count("<tr id=") == 50
        assert "?page=2" in text
