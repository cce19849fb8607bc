"""Asking for access, and deciding."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accessmgmt.models import AccessRequest, Endpoint, Grant, User
from tests.factories import make_decision, make_endpoint, make_grant, make_request, settle_request

ClientFor = Callable[[User], Client]
HTMX = {"HX-Request": "true"}
REASON = "Looking into ticket 4711"


@pytest.fixture
def endpoint(bob: User) -> Endpoint:
    return make_endpoint(name="orders", is_requestable=True, approvers=[bob.email], ttl="4h")


class TestCreate:
    def test_choose_then_ask(self, client_for: ClientFor, carol: User, endpoint: Endpoint) -> None:
        make_endpoint(name="closed")
        client = client_for(carol)
        chosen = client.get("/requests/new").content.decode()
        assert f"?endpoint={endpoint.pk}" in chosen
        assert "closed" not in chosen
        form = client.get(f"/requests/new?endpoint={endpoint.pk}").content.decode()
        for part in ("SELECT on all tables in public", "bob@company.com", "At most 4 hours", 'data-value="4h"'):
            assert part in form
        response = client.post("/requests/new", {"endpoint": endpoint.pk, "reason": REASON, "duration": "90m"})
        row = AccessRequest.objects.get()
        assert response.headers["Location"] == f"/requests/{row.pk}"
        assert (row.duration_seconds, row.reason) == (5400, REASON)

    def test_search(self, client_for: ClientFor, carol: User, endpoint: Endpoint) -> None:
        client = client_for(carol)
        assert b"orders" in client.get("/requests/new?q=ORD", headers=HTMX).content
        assert b"matches" in client.get("/requests/new?q=zzz").content

    def test_nothing_to_ask_for(self, client_for: ClientFor, carol: User) -> None:
        assert b"There is nothing to ask for" in client_for(carol).get("/requests/new").content

    @pytest.mark.parametrize(
        ("reason", "duration", "field", "message"),
        [
            ("short", "1h", "reason", "at least 10 characters"),
            ("", "1h", "reason", "at least 10 characters"),
            (REASON, "soon", "duration", "is not a duration"),
            (REASON, "5h", "duration", "at most 4 hours"),
            (REASON, "", "duration", "for how long"),
        ],
    )
    def test_invalid_is_422_beside_its_field(
        self,
        client_for: ClientFor,
        carol: User,
        endpoint: Endpoint,
        reason: str,
        duration: str,
        field: str,
        message: str,
    ) -> None:
        data = {"endpoint": endpoint.pk, "reason": reason, "duration": duration}
        response = client_for(carol).post("/requests/new", data)
        text = response.content.decode()
        assert response.status_code == 422
        error = re.search(rf'id="id_{field}-error">(.*?)</div>\s*</div>', text, re.S)
        assert error is not None
        assert message in error[1]
        assert reason in text
        assert f'value="{duration}"' in text or not duration

    def test_asking_twice_is_said_kindly(self, client_for: ClientFor, carol: User, endpoint: Endpoint) -> None:
        make_request(user=carol, endpoint=endpoint)
        data = {"endpoint": endpoint.pk, "reason": REASON, "duration": "1h"}
        response = client_for(carol).post("/requests/new", data)
        assert response.status_code == 409
        assert "already asked" in response.content.decode()
        assert REASON in response.content.decode()

    def test_an_endpoint_that_cannot_be_is_chosen_anew(self, client_for: ClientFor, alice: User) -> None:
        assert client_for(alice).get("/requests/new?endpoint=99999999999999999999999").status_code == 200


class TestWhoSeesTheForm:
    def test_the_form_to_decide_is_only_for_those_who_may(
        self, client_for: ClientFor, alice: User, bob: User, erin: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=alice, endpoint=endpoint)
        approve = f"/requests/{row.pk}/approve".encode()
        assert approve in client_for(bob).get(f"/requests/{row.pk}").content
        assert approve not in client_for(alice).get(f"/requests/{row.pk}").content
        assert approve not in client_for(erin).get(f"/requests/{row.pk}").content

    def test_an_admins_own_request_is_not_in_his_inbox(
        self, client_for: ClientFor, dave: User, endpoint: Endpoint
    ) -> None:
        make_request(user=dave, endpoint=endpoint)
        assert b"Nothing waits for you" in client_for(dave).get("/requests/").content


class TestDecide:
    def test_inbox_has_the_oldest_on_top_with_what_it_gives(
        self, client_for: ClientFor, bob: User, carol: User, alice: User, endpoint: Endpoint
    ) -> None:
        old = make_request(user=carol, endpoint=endpoint)
        new = make_request(user=alice, endpoint=endpoint)
        text = client_for(bob).get("/requests/").content.decode()
        assert text.index(f"request-{old.pk}") < text.index(f"request-{new.pk}")
        for part in ("SELECT on all tables in public", REASON, "1 hour", endpoint.resource.name):
            assert part in text

    def test_approve_for_less(self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        data = {"duration": "30m", "comment": "Fine"}
        text = client_for(bob).post(f"/requests/{row.pk}/approve", data, headers=HTMX).content.decode()
        assert text.strip().startswith("<article")
        assert "30 minutes (asked for 1 hour)" in text
        assert re.search(r"Approved by Bob Approver for 30 minutes, <time.*?</time>: “Fine”", text)
        assert "<form" not in text
        assert Grant.objects.get().ttl_seconds == 1800

    def test_too_long_is_422_in_the_card(
        self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        data = {"duration": "3h", "comment": "Keep me"}
        for headers in (HTMX, {}):
            response = client_for(bob).post(f"/requests/{row.pk}/approve", data, headers=headers)
            text = response.content.decode()
            assert response.status_code == 422
            assert f'id="request-{row.pk}-duration-error"' in text
            assert "Keep me" in text

    def test_a_second_decision_is_said_kindly(
        self, client_for: ClientFor, bob: User, dave: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        client_for(dave).post(f"/requests/{row.pk}/approve")
        part = client_for(bob).post(f"/requests/{row.pk}/deny", {"comment": "No"}, headers=HTMX)
        assert part.status_code == 409
        assert part.headers["HX-Retarget"] == f"#request-{row.pk}"
        assert "already approved by Dave Admin" in part.content.decode()
        whole = client_for(bob).post(f"/requests/{row.pk}/approve")
        assert whole.status_code == 409
        assert "already approved by Dave Admin" in whole.content.decode()

    def test_approving_what_is_held_already_leaves_it_pending(
        self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        make_grant(user=carol, endpoint=endpoint)
        response = client_for(bob).post(f"/requests/{row.pk}/approve", headers=HTMX)
        assert response.status_code == 409
        assert "already has access" in response.content.decode()
        row.refresh_from_db()
        assert row.state == "pending"

    def test_deny_without_javascript(self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        client = client_for(bob)
        response = client.post(f"/requests/{row.pk}/deny", {"comment": "Use the replica", "duration": "nonsense"})
        assert response.headers["Location"] == "/requests/"
        assert "Denied" in client.get("/requests/").content.decode()
        text = client_for(carol).get(f"/requests/{row.pk}").content.decode()
        assert re.search(r"Denied by Bob Approver <time.*?</time>: “Use the replica”", text)

    def test_cancel_by_htmx_takes_the_row_away(self, client_for: ClientFor, carol: User, endpoint: Endpoint) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        response = client_for(carol).post(f"/requests/{row.pk}/cancel", headers=HTMX)
        assert response.content == b""
        row.refresh_from_db()
        assert row.state == "cancelled"
        assert "Cancelled by Carol Outsider" in client_for(carol).get(f"/requests/{row.pk}").content.decode()

    def test_every_vote_is_told_oldest_first(
        self, client_for: ClientFor, bob: User, dave: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        for decider, verdict in ((dave, "denied"), (bob, "approved")):
            make_decision(row, verdict, decider=decider)
        text = client_for(carol).get(f"/requests/{row.pk}").content.decode()
        assert text.index("Denied by Dave Admin") < text.index("Approved by Bob Approver for 1 hour")

    def test_a_request_that_nobody_decided_says_so(
        self, client_for: ClientFor, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request("lapsed", user=carol, endpoint=endpoint)
        assert "nobody decided in time" in client_for(carol).get(f"/requests/{row.pk}").content.decode()

    def test_detail_links_to_the_grant_for_its_person(
        self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request("approved", user=carol, endpoint=endpoint, decided_by=bob)
        grant = make_grant(user=carol, endpoint=endpoint, request=row)
        link = f"/grants/{grant.pk}"
        assert link in client_for(carol).get(f"/requests/{row.pk}").content.decode()
        assert link not in client_for(bob).get(f"/requests/{row.pk}").content.decode()


class TestHistory:
    def test_filters(self, client_for: ClientFor, bob: User, carol: User, alice: User, endpoint: Endpoint) -> None:
        denied = make_request("denied", user=carol, endpoint=endpoint, decided_by=bob)
        lapsed = make_request("lapsed", user=alice, endpoint=endpoint)
        own = make_request("cancelled", user=bob)
        client = client_for(bob)

        def listed(query: str) -> set[int]:
            text = client.get(f"/requests/history?{query}").content.decode()
            return {int(pk) for pk in re.findall(r'class="cell-main" href="/requests/(\d+)"', text)}

        assert listed("") == {denied.pk, lapsed.pk, own.pk}
        assert listed("state=denied") == {denied.pk}
        assert listed("q=alice") == {lapsed.pk}
        assert listed("whose=mine") == {own.pk}
        assert listed("state=nonsense") == {denied.pk, lapsed.pk, own.pk}

    def test_who_decided(self, client_for: ClientFor, bob: User, dave: User, carol: User, endpoint: Endpoint) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        make_decision(row, decider=dave)
        make_decision(row, decider=bob)
        settle_request(row)
        make_request("cancelled", user=carol, endpoint=endpoint)
        text = client_for(bob).get("/requests/history").content.decode()
        told = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r'data-label="Decided by">(.*?)</td>', text)]
        assert sorted(told) == ["Dave Admin, Bob Approver", "—"]

    def test_outsiders_see_their_own_only(self, client_for: ClientFor, carol: User, alice: User) -> None:
        make_request("denied", user=alice)
        assert b"No request is over yet" in client_for(carol).get("/requests/history").content

    def test_htmx_gets_the_list_only(self, client_for: ClientFor, carol: User) -> None:
        text = client_for(carol).get("/requests/history?state=denied", headers=HTMX).content.decode()
        assert text.strip().startswith('<div class="card" id="rows">')


@pytest.mark.parametrize("path", ["/requests/", "/requests/history", "/requests/new"])
def test_queries_do_not_grow_with_rows(client_for: ClientFor, dave: User, path: str) -> None:
    client = client_for(dave)

    def grow(count: int) -> None:
        for _ in range(count):
            make_decision(make_request())
            make_request("denied")

    grow(1)
    client.get(path)
    with CaptureQueriesContext(connection) as few:
        client.get(path)
    grow(8)
    with CaptureQueriesContext(connection) as many:
        client.get(path)
    assert len(many) == len(few)


class TestWhatHasChangedSince:
    def test_the_approver_reads_it_and_approves_for_less(
        self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint, duration="4h", duration_seconds=4 * 3600)
        Endpoint.objects.filter(pk=endpoint.pk).update(ttl="30m", ttl_seconds=1800)
        endpoint.authorization.permissions = {"grants": ["SELECT"], "schemas": ["app"], "tables": ["*"]}
        endpoint.authorization.save(update_fields=["permissions"])
        client = client_for(bob)
        text = client.get(f"/requests/{row.pk}").content.decode()
        assert "gives at most 30 minutes by now. 4 hours were asked for." in text
        assert "By now orders gives SELECT on all tables in app." in text
        form = client.get(f"/requests/{row.pk}").context["card"]["form"]
        assert client.post(f"/requests/{row.pk}/approve", form.initial).status_code == 302
        assert Grant.objects.get().ttl_seconds == 1800

    def test_what_cannot_be_approved_any_more_has_no_button(
        self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        Endpoint.objects.filter(pk=endpoint.pk).update(is_requestable=False)
        text = client_for(bob).get("/requests/").content.decode()
        assert "may not ask for orders any more" in text
        assert f"/requests/{row.pk}/approve" not in text.replace(f'action="/requests/{row.pk}/approve"', "")
        assert f"/requests/{row.pk}/deny" in text

    def test_a_change_while_it_was_looked_at_shows_the_request_anew(
        self, client_for: ClientFor, bob: User, carol: User, endpoint: Endpoint
    ) -> None:
        row = make_request(user=carol, endpoint=endpoint)
        client = client_for(bob)
        shown = client.get(f"/requests/{row.pk}").context["card"]["form"].initial
        Endpoint.objects.filter(pk=endpoint.pk).update(ttl="30m", ttl_seconds=1800)
        response = client.post(f"/requests/{row.pk}/approve", {**shown, "comment": "for today"}, headers=HTMX)
        assert response.status_code == 409
        again = response.context["card"]["form"].initial
        assert (again["duration"], again["comment"]) == ("30m", "for today")
        assert client.post(f"/requests/{row.pk}/approve", again, headers=HTMX).status_code == 200
        assert Grant.objects.get().ttl_seconds == 1800
