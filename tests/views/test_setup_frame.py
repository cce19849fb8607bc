"""What the pages of the four nouns of the set-up have in common: creating, changing, deleting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from accessmgmt.models import AuditEvent, Authorization, Endpoint, Group, Resource
from tests import factories

MAKE: dict[str, Callable[..., Any]] = {
    "resource": factories.make_resource,
    "authorization": factories.make_authorization,
    "endpoint": factories.make_endpoint,
    "group": factories.make_group,
}
MODELS = {"resource": Resource, "authorization": Authorization, "endpoint": Endpoint, "group": Group}
NOUNS = pytest.mark.parametrize("noun", MAKE)


def url_of(noun: str, page: str, *args: int) -> str:
    return reverse(f"accessmgmt:{noun}-{page}", args=args)


@NOUNS
def test_a_form_without_a_name_says_so_beside_it(client_for, dave, noun: str):
    answer = client_for(dave).post(url_of(noun, "create"), {"name": " "})
    assert answer.status_code == 422
    assert answer.context["form"].errors["name"] == [f"Give the {noun} a name."]
    assert not MODELS[noun].objects.exists()


@NOUNS
def test_a_name_is_taken_whatever_its_case_but_not_by_the_row_itself(client_for, dave, noun: str):
    MAKE[noun](name="Taken")
    own = MAKE[noun](name="own")
    client = client_for(dave)
    taken = client.post(url_of(noun, "edit", own.pk), {"name": "tAKEN"})
    assert taken.context["form"].errors["name"] == ["There is already one called “Taken”. Choose another name."]
    spelt_anew = client.post(url_of(noun, "edit", own.pk), {"name": "OWN"})
    form = getattr(spelt_anew, "context", None) and spelt_anew.context["form"]
    assert not form or "name" not in form.errors


@NOUNS
def test_a_form_that_comes_back_is_still_called_by_the_stored_name(client_for, dave, noun: str):
    MAKE[noun](name="taken")
    own = MAKE[noun](name="the-stored-one")
    page = client_for(dave).post(url_of(noun, "edit", own.pk), {"name": "taken"})
    assert page.status_code == 422
    assert "<title>Edit the-stored-one" in " ".join(page.content.decode().split())
    own.refresh_from_db()
    assert own.name == "the-stored-one"


@NOUNS
def test_a_deletion_asks_first_and_is_recorded(client_for, dave, noun: str):
    row = MAKE[noun](name="gone-soon")
    client = client_for(dave)
    asked = client.get(url_of(noun, "delete", row.pk))
    assert f"Delete the {noun} “gone-soon”?" in asked.content.decode()
    assert "The audit trail keeps what happened." in asked.content.decode()
    assert MODELS[noun].objects.filter(pk=row.pk).exists()
    done = client.post(url_of(noun, "delete", row.pk))
    assert done["Location"] == url_of(noun, "list")
    assert not MODELS[noun].objects.filter(pk=row.pk).exists()
    assert AuditEvent.objects.filter(action=f"{noun}.deleted", object_name="gone-soon").exists()


@pytest.mark.parametrize("noun", ["resource", "authorization", "endpoint"])
def test_what_something_needs_is_not_deleted(client_for, dave, noun: str):
    endpoint = factories.make_grant().endpoint
    row = endpoint if noun == "endpoint" else getattr(endpoint, noun)
    page = client_for(dave).post(url_of(noun, "delete", row.pk))
    assert page.status_code == 409
    assert "cannot be deleted" in page.content.decode()
    assert page.context["consequences"] == []
    assert MODELS[noun].objects.filter(pk=row.pk).exists()
