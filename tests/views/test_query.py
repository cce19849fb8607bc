"""What a query string says is read in one place, and what it cannot mean narrows nothing."""

from __future__ import annotations

import ast
import uuid
from datetime import date
from pathlib import Path

import pytest
from django.urls import reverse

import accessmgmt
from accessmgmt.views.query import clean_choice, clean_day, clean_pk, clean_search, clean_uuid
from tests import factories

ROOT = Path(accessmgmt.__file__).parent
SOME_UUID = uuid.UUID("0b0e6f2e-6a52-4d3b-8d6d-4f6d2f5f0a11")
OTHERWISE_READ = {
    ("views/paging.py", "page"),  # Django's paginator takes any text
    ("views/lists.py", "sort"),  # the selector knows the columns, and leaves the order alone for anything else
    ("views/access/grants.py", "phase"),  # compared with what the page would say
    ("views/people/account.py", "next"),  # a path on this site or nothing
    ("views/pgbouncer.py", "download"),  # one of three files, 404 otherwise
    ("views/setup/resources.py", "use_aws_secrets"),  # begins a form, whose fields read it
    ("views/terraform.py", "provider"),  # "no" or anything
    ("views/terraform.py", "scope"),  # read by parts; 404 for what is not there
}


@pytest.mark.parametrize(
    ("text", "pk"),
    [("7", 7), ("", None), (None, None), ("-1", None), ("1.0", None), ("x", None), ("٣", None), ("9" * 19, None)],
)
def test_a_primary_key_out_of_a_query(text: str | None, pk: int | None) -> None:
    assert clean_pk(text) == pk


def test_a_search_never_holds_nul() -> None:
    assert clean_search(" a\x00b ") == "ab"
    assert clean_search(None) == ""
    assert len(clean_search("x" * 500)) == 200


@pytest.mark.parametrize(("text", "value"), [("used", "used"), ("", ""), (None, ""), ("USED", ""), ("use", "")])
def test_only_what_is_offered_is_chosen(text: str | None, value: str) -> None:
    assert clean_choice(text, {"", "used", "unused"}) == value


@pytest.mark.parametrize(
    ("text", "found"), [(str(SOME_UUID), SOME_UUID), ("", None), (None, None), ("7", None), ("\x00", None)]
)
def test_a_uuid_out_of_a_query(text: str | None, found: uuid.UUID | None) -> None:
    assert clean_uuid(text) == found


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2030-02-28", date(2030, 2, 28)),
        ("2000-01-01", date(2000, 1, 1)),
        ("9000-12-31", date(9000, 12, 31)),
        ("1999-12-31", None),
        ("9001-01-01", None),
        ("2030-02-30", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_day_out_of_a_query(text: str | None, day: date | None) -> None:
    assert clean_day(text) == day


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("resource-list", ["ssl_mode", "kind"]),
        ("authorization-list", ["usage"]),
        ("endpoint-list", ["approval"]),
        ("user-list", ["role", "state"]),
        ("grant-list", ["state"]),
        ("request-history", ["state", "whose"]),
    ],
)
def test_a_choice_that_a_list_does_not_offer_narrows_nothing(client_for, dave, name: str, filters: list[str]) -> None:
    factories.make_grant()
    factories.make_request("denied")
    client, url = client_for(dave), reverse(f"accessmgmt:{name}")
    everything = client.get(url).context["page"].paginator.count
    assert everything
    for each in filters:
        context = client.get(url, {each: "no such thing"}).context
        assert (context["page"].paginator.count, context["is_filtered"]) == (everything, False)


def unread(source: str) -> list[str]:
    """Return the names that a module takes out of a query string without a `clean_...` around it."""
    tree = ast.parse(source)
    cleaned = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("clean_")
        for argument in node.args
        for inner in ast.walk(argument)
    }
    found = []
    for node in ast.walk(tree):
        is_get = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("request.GET.get")
        if isinstance(node, ast.Call) and is_get and id(node) not in cleaned:
            found.append(ast.literal_eval(node.args[0]) if isinstance(node.args[0], ast.Constant) else "")
    return found


def test_every_view_reads_its_query_by_the_same_readers() -> None:
    found = {
        (str(path.relative_to(ROOT)), name) for path in ROOT.rglob("views/**/*.py") for name in unread(path.read_text())
    }
    assert found == OTHERWISE_READ


def test_only_one_module_makes_pages() -> None:
    makers = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if "Paginator(" in path.read_text()}
    assert makers == {"views/paging.py"}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ('state = request.GET.get("state", "")', ["state"]),
        ('rows(clean_search(request.GET.get("q")), request.GET.get("state"))', ["state"]),
        ('clean_pk(request.POST.get("pk") or request.GET.get("pk"))', []),
    ],
)
def test_a_value_that_nobody_read_is_noticed(line: str, names: list[str]) -> None:
    assert unread(line) == names
