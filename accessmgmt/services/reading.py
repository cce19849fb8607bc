"""Texts on their way into the portal's tables: each in the one form that its reader gives, whoever calls a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from accessmgmt.domain.aws import check_place, read_region, read_secret_name
from accessmgmt.domain.certificates import tidy_certificates, tidy_key
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.hosts import read_hosts
from accessmgmt.domain.names import read_object_name
from accessmgmt.domain.permissions import read_permissions
from accessmgmt.domain.secret_values import read_password
from accessmgmt.domain.texts import read_line, read_text
from accessmgmt.domain.ttl import read_ttl
from accessmgmt.models import Authorization, Endpoint, Group, Resource

Read = TypeVar("Read")
Described = Resource | Authorization | Endpoint | Group
LONGEST_NAME = 120
LONGEST_PERSON = 150


def read_field(field: str, read: Callable[[Any], Read], value: Any) -> Read:
    """Return what a reader makes of a value. Raises its InvalidError as one of this field."""
    try:
        return read(value)
    except InvalidError as error:
        fields = error.fields or {field: [str(error)]}
        raise InvalidError(error.what, why=error.why, todo=error.todo, fields=fields) from None


def read_person(text: str) -> str:
    """Return a person's name as others see it."""
    return read_field("name", lambda name: read_line(name, what="The name", most=LONGEST_PERSON), text)


def read_described(row: Described) -> None:
    """Put each text of a row that an admin describes into its one form. Raises InvalidError with the field's name."""
    for field, read in {**NAMED, **READERS[type(row)]}.items():
        value = getattr(row, field)
        if value:
            setattr(row, field, read_field(field, read, value))
    if isinstance(row, Resource) and row.use_aws_secrets:
        read_field("aws_region", lambda region: check_place(region, row.aws_secret_name), row.aws_region)


NAMED: Mapping[str, Callable[[Any], Any]] = {
    "name": lambda text: read_line(text, what="The name", most=LONGEST_NAME),
    "description": lambda text: read_text(text, what="The description"),
}
READERS: Mapping[type, Mapping[str, Callable[[Any], Any]]] = {
    Resource: {
        "host": read_hosts,
        "database_name": lambda text: read_object_name(text, what="The name of the database"),
        "username": lambda text: read_object_name(text, what="The user name"),
        "password": read_password,
        "aws_region": read_region,
        "aws_secret_name": read_secret_name,
        "tls_root_cert": tidy_certificates,
        "tls_cert_file": tidy_certificates,
        "tls_key_file": tidy_key,
        "leftover_owner": lambda text: read_object_name(text, what="The new owner"),
    },
    Authorization: {"permissions": read_permissions},
    Endpoint: {"ttl": read_ttl},
    Group: {},
}
