"""Who may do what: every URL and method, asked by every kind of person, with real requests.

One line is one URL name and method, and what each person is answered. `log-in` is the way to the log-in page, 403
"you may not", 404 "there is no such thing for you". Any other number means that the person was let in: a 409 says that
somebody was faster, a 422 finds fault with a form that was sent empty. Methods without a line are not taken (405).

The grant and the request are the holder's, a member of the group that is wired to the endpoint `wired`. The colleague
is a member of it, too. The approver decides on the endpoint `asked`, which needs approval and which anybody may
request. A word after the URL name says which object is asked for: `own` is one of the person who asks.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.test import Client

from accessmgmt.models import GroupEndpoint, GroupMember, Resource, User
from tests.factories import make_endpoint, make_grant, make_request, make_user
from tests.views.walk import World, places, undone, world

__all__ = ["world"]

PERSONAS = ("visitor", "outsider", "colleague", "holder", "approver", "auditor", "admin", "suspended")
MATRIX = """
URL name                              visitor   outsider  colleague holder    approver  auditor   admin     suspended
health/live                     GET   200       200       200       200       200       200       200       200
health/ready                    GET   200       200       200       200       200       200       200       200
login                           GET   200       302       302       302       302       302       302       200
login                           POST  422       302       302       302       302       302       302       422
logout                          POST  log-in    log-in    log-in    log-in    log-in    log-in    log-in    log-in
profile                         GET   log-in    200       200       200       200       200       200       log-in
profile                         POST  log-in    422       422       422       422       422       422       log-in
my-access                       GET   log-in    200       200       200       200       200       200       log-in
endpoint-activate               POST  log-in    403       403       403       403       403       403       log-in
endpoint-activate        wired  POST  log-in    404       302       302       404       404       403       log-in
grant-list                      GET   log-in    403       403       403       403       200       200       log-in
grant-detail                    GET   log-in    404       404       200       404       200       200       log-in
grant-detail             own    GET   log-in    200       200       200       200       200       200       log-in
grant-card                      GET   log-in    404       404       200       404       200       200       log-in
grant-card               own    GET   log-in    200       200       200       200       200       200       log-in
grant-status                    GET   log-in    404       404       200       404       200       200       log-in
grant-status             own    GET   log-in    200       200       200       200       200       200       log-in
grant-release                   POST  log-in    404       404       302       404       403       403       log-in
grant-release            own    POST  log-in    302       302       302       302       302       302       log-in
grant-revoke                    POST  log-in    404       404       403       404       403       302       log-in
grant-revoke             own    POST  log-in    403       403       403       403       403       302       log-in
grant-password                  POST  log-in    404       404       200       404       403       403       log-in
grant-password           own    POST  log-in    200       200       200       200       200       200       log-in
grant-ca                        GET   log-in    404       404       200       404       200       200       log-in
grant-ca                 own    GET   log-in    200       200       200       200       200       200       log-in
request-list                    GET   log-in    200       200       200       200       200       200       log-in
request-history                 GET   log-in    200       200       200       200       200       200       log-in
request-create                  GET   log-in    200       200       200       200       200       200       log-in
request-create                  POST  log-in    200       200       200       200       200       200       log-in
request-create           asked  GET   log-in    200       200       200       200       200       200       log-in
request-create           asked  POST  log-in    302       302       409       302       302       302       log-in
request-create           wired  GET   log-in    404       403       403       404       404       403       log-in
request-create           wired  POST  log-in    404       403       403       404       404       403       log-in
request-detail                  GET   log-in    404       404       200       200       200       200       log-in
request-detail           own    GET   log-in    200       200       200       200       200       200       log-in
request-approve                 POST  log-in    404       404       403       302       403       302       log-in
request-approve          own    POST  log-in    403       403       403       403       403       403       log-in
request-deny                    POST  log-in    404       404       403       302       403       302       log-in
request-deny             own    POST  log-in    403       403       403       403       403       403       log-in
request-cancel                  POST  log-in    404       404       302       403       403       403       log-in
request-cancel           own    POST  log-in    302       302       302       302       302       302       log-in
resource-list                   GET   log-in    403       403       403       403       200       200       log-in
resource-create                 GET   log-in    403       403       403       403       403       200       log-in
resource-create                 POST  log-in    403       403       403       403       403       422       log-in
resource-test-unsaved           POST  log-in    403       403       403       403       403       422       log-in
resource-certificate            POST  log-in    403       403       403       403       403       200       log-in
resource-detail                 GET   log-in    403       403       403       403       200       200       log-in
resource-edit                   GET   log-in    403       403       403       403       403       200       log-in
resource-edit                   POST  log-in    403       403       403       403       403       422       log-in
resource-test                   POST  log-in    403       403       403       403       403       302       log-in
resource-resume                 POST  log-in    403       403       403       403       403       409       log-in
resource-drift                  GET   log-in    403       403       403       403       200       200       log-in
resource-drift-check            POST  log-in    403       403       403       403       403       302       log-in
resource-drift-repair           POST  log-in    403       403       403       403       403       302       log-in
resource-pgbouncer              GET   log-in    403       403       403       403       200       200       log-in
resource-delete                 GET   log-in    403       403       403       403       403       200       log-in
resource-delete                 POST  log-in    403       403       403       403       403       409       log-in
look                            GET   log-in    403       403       403       403       200       200       log-in
look-progress                   GET   log-in    403       403       403       403       200       200       log-in
authorization-list              GET   log-in    403       403       403       403       200       200       log-in
authorization-create            GET   log-in    403       403       403       403       403       200       log-in
authorization-create            POST  log-in    403       403       403       403       403       422       log-in
authorization-detail            GET   log-in    403       403       403       403       200       200       log-in
authorization-edit              GET   log-in    403       403       403       403       403       200       log-in
authorization-edit              POST  log-in    403       403       403       403       403       422       log-in
authorization-delete            GET   log-in    403       403       403       403       403       200       log-in
authorization-delete            POST  log-in    403       403       403       403       403       409       log-in
endpoint-list                   GET   log-in    403       403       403       403       200       200       log-in
endpoint-create                 GET   log-in    403       403       403       403       403       200       log-in
endpoint-create                 POST  log-in    403       403       403       403       403       422       log-in
endpoint-sentence               GET   log-in    403       403       403       403       403       200       log-in
endpoint-detail                 GET   log-in    403       403       403       403       200       200       log-in
endpoint-edit                   GET   log-in    403       403       403       403       403       200       log-in
endpoint-edit                   POST  log-in    403       403       403       403       403       422       log-in
endpoint-delete                 GET   log-in    403       403       403       403       403       200       log-in
endpoint-delete                 POST  log-in    403       403       403       403       403       409       log-in
group-list                      GET   log-in    403       403       403       403       200       200       log-in
group-create                    GET   log-in    403       403       403       403       403       200       log-in
group-create                    POST  log-in    403       403       403       403       403       422       log-in
group-detail                    GET   log-in    403       403       403       403       200       200       log-in
group-edit                      GET   log-in    403       403       403       403       403       200       log-in
group-edit                      POST  log-in    403       403       403       403       403       422       log-in
group-delete                    GET   log-in    403       403       403       403       403       200       log-in
group-delete                    POST  log-in    403       403       403       403       403       302       log-in
group-members-add               POST  log-in    403       403       403       403       403       422       log-in
group-member-remove             POST  log-in    403       403       403       403       403       422       log-in
group-wire                      POST  log-in    403       403       403       403       403       422       log-in
group-unwire                    POST  log-in    403       403       403       403       403       422       log-in
installation                    GET   log-in    403       403       403       403       403       200       log-in
installation                    POST  log-in    403       403       403       403       403       422       log-in
audit-list                      GET   log-in    403       403       403       403       200       200       log-in
terraform                       GET   log-in    403       403       403       403       403       200       log-in
terraform-download              GET   log-in    403       403       403       403       403       200       log-in
terraform-download-zip          GET   log-in    403       403       403       403       403       200       log-in
user-list                       GET   log-in    403       403       403       403       200       200       log-in
user-create                     GET   log-in    403       403       403       403       403       200       log-in
user-create                     POST  log-in    403       403       403       403       403       422       log-in
user-edit                       GET   log-in    403       403       403       403       403       200       log-in
user-edit                       POST  log-in    403       403       403       403       403       422       log-in
"""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PLACES = {place.name: place for place in places()}
ASKING = {"reason": "Looking into ticket 4711", "duration": "1h"}
pytestmark = pytest.mark.django_db


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the matrix: a URL name, which object ("" for the world's own), and a method."""

    name: str
    which: str
    method: str


def rows_of(text: str) -> dict[Row, list[str]]:
    """Return what each persona is answered."""
    found: dict[Row, list[str]] = {}
    head, *lines = text.strip().splitlines()
    assert tuple(head.split()[2:]) == PERSONAS
    for line in lines:
        cells = line.split()
        name, *which, method = cells[: -len(PERSONAS)]
        row = Row(name, " ".join(which), method)
        assert row not in found, f"{row} stands there twice"
        found[row] = cells[-len(PERSONAS) :]
    return found


ROWS = rows_of(MATRIX)


@dataclass(frozen=True, slots=True)
class Crowd:
    """The personas, each with a client and with a grant and a request of their own, in the world of tests/views."""

    world: World
    people: dict[str, User]
    clients: dict[str, Client]
    own: dict[str, dict[str, object]]
    wired: int

    def answer(self, row: Row, persona: str) -> str:
        """Ask, undo what came of it, and return the answer in the matrix's words."""
        keys = {"own": self.own.get(persona, {}), "wired": {"endpoints": self.wired}}.get(row.which, {})
        data: dict[str, object] = {}
        if row.name == "request-create" and row.which:
            data = {"endpoint": self.wired if row.which == "wired" else self.world.keys["endpoints"], **ASKING}
        url = World(self.people, {**self.world.keys, **keys}).url(PLACES[row.name])
        client = self.clients[persona]
        with undone(client):
            if row.method in {"GET", "POST"}:
                response = (client.get if row.method == "GET" else client.post)(url, data)
            else:
                response = client.generic(row.method, url)
        is_log_in = response.status_code == 302 and response["Location"].startswith("/login/")
        return "log-in" if is_log_in else str(response.status_code)


@pytest.fixture
def crowd(world: World) -> Crowd:
    named = {"outsider": "carol", "holder": "alice", "approver": "bob", "auditor": "erin", "admin": "dave"}
    people = {persona: world.people[name] for persona, name in named.items()}
    people["colleague"] = make_user("frank@company.com")
    GroupMember.objects.create(group_id=world.keys["groups"], email="frank@company.com")
    people["suspended"] = make_user("grace@company.com", role=User.Role.ADMIN)
    clients = {persona: Client(raise_request_exception=False) for persona in PERSONAS}
    for persona, user in people.items():
        clients[persona].force_login(user)
    User.objects.filter(pk=people["suspended"].pk).update(is_active=False)
    resource = Resource.objects.get(pk=world.keys["resources"])
    own = {
        persona: {
            "grants": make_grant(user=user, endpoint=make_endpoint(resource=resource)).pk,
            "requests": make_request(user=user, endpoint=make_endpoint(approvers=[user.email])).pk,
        }
        for persona, user in people.items()
    }
    wired = GroupEndpoint.objects.get(group=world.keys["groups"]).endpoint_id
    return Crowd(world, people, clients, own, wired)


@pytest.mark.parametrize("persona", PERSONAS)
def test_everybody_is_answered_as_the_matrix_says(crowd: Crowd, persona: str) -> None:
    column = PERSONAS.index(persona)
    wrong = {}
    for row, answers in ROWS.items():
        if (answer := crowd.answer(row, persona)) != answers[column]:
            wrong[row] = f"{answer} instead of {answers[column]}"
    assert not wrong


def test_every_url_and_method_has_a_line(crowd: Crowd) -> None:
    lines = {(row.name, row.method) for row in ROWS}
    taken = {
        (name, method) for name in PLACES for method in METHODS if crowd.answer(Row(name, "", method), "admin") != "405"
    }
    assert taken == lines


def test_no_two_urls_share_a_name() -> None:
    assert len(PLACES) == len(places())
