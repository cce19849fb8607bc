"""The permission grammar: {"grants": [...], "schemas": [...], "tables": [...]}."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.object_names import EVERYTHING, SCHEMA, TABLE, check_entry, read_entries
from accessmgmt.domain.texts import read_json, spell_out

MOST_NAMES = 1_000


class Privilege(StrEnum):
    """Table privileges: https://www.postgresql.org/docs/current/ddl-priv.html. MAINTAIN exists from PostgreSQL 17."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"
    REFERENCES = "REFERENCES"
    TRIGGER = "TRIGGER"
    MAINTAIN = "MAINTAIN"


ALL = "ALL"
ELEVATED = frozenset({Privilege.TRUNCATE, Privilege.REFERENCES, Privilege.TRIGGER, Privilege.MAINTAIN})
"""Privileges that reach further than reading and writing rows."""


@dataclass(frozen=True, slots=True)
class PermissionSet:
    """What may be done where, in canonical form: each tuple sorted, without repeats, privileges in upper case.

    `tables` and `schemas` hold entries as `domain.object_names` describes them: names, patterns with `*` ("events_*"),
    "*" alone for all of them, and exact names in double quotes.
    """

    grants: tuple[str, ...]
    schemas: tuple[str, ...]
    tables: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The sha256 of the canonical JSON, 64 hexadecimal digits: what an approver attests."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, list[str]]:
        """Return the guide's shape, canonical."""
        return {"grants": list(self.grants), "schemas": list(self.schemas), "tables": list(self.tables)}

    def privileges_on(self, server_version: int) -> tuple[Privilege, ...]:
        """Return the privileges for a server (version as in server_version_num // 10000), with ALL expanded."""
        known = tuple(p for p in Privilege if p is not Privilege.MAINTAIN or server_version >= 17)
        if ALL in self.grants:
            return known
        return tuple(p for p in Privilege if p in self.grants)

    @property
    def sequence_privileges(self) -> tuple[str, ...]:
        """Return what is given on the sequences that the tables take their numbers from.

        Who inserts rows draws numbers and may look where the sequence stands; who changes rows may set it, and draws
        numbers by `SET id = DEFAULT`. Who only reads rows needs none of it.
        """
        may_insert, may_update = ({ALL, privilege} & set(self.grants) for privilege in ("INSERT", "UPDATE"))
        names = {"USAGE": may_insert or may_update, "SELECT": may_insert, "UPDATE": may_update}
        return tuple(name for name, is_given in names.items() if is_given)

    def capability_role_name(self, installation_id: str) -> str:
        """Return the NOLOGIN role that holds this set on a target: `jitb_` and 24 hexadecimal digits.

        The installation is part of the digest: two portals on one server never share a role.
        """
        return "jitb_" + hashlib.sha256(f"{installation_id}:{self.digest}".encode()).hexdigest()[:24]

    def in_words(self) -> str:
        """Say the set in a sentence: "SELECT and INSERT on events, metrics in analytics"."""
        tables = "all tables" if EVERYTHING in self.tables else ", ".join(self.tables)
        schemas = "every schema" if EVERYTHING in self.schemas else ", ".join(self.schemas)
        grants = [g for g in (*Privilege, ALL) if g in self.grants]
        words = " and ".join(filter(None, [", ".join(grants[:-1]), grants[-1]]))
        return f"{words} on {tables} in {schemas}"


def parse_permissions(value: object) -> PermissionSet:
    """Read the guide's JSON object (or its text) into canonical form.

    Raises InvalidError whose `fields` name `grants`, `schemas` or `tables`.
    """
    document = _load(value)
    unknown = sorted(map(str, set(document) - {"grants", "schemas", "tables"}))
    if unknown:
        raise InvalidError(
            f"Unknown key “{spell_out(str(unknown[0]))}” in the permissions.",
            todo="Use the keys grants, schemas and tables.",
        )
    fields: dict[str, list[str]] = {}
    found: dict[str, tuple[str, ...]] = {}
    checks: dict[str, Callable[[str], str]] = {
        "grants": check_privilege,
        "schemas": check_entry,
        "tables": check_entry,
    }
    for key, check in checks.items():
        try:
            found[key] = _names(document.get(key), key, check)
        except InvalidError as error:
            fields[key] = [str(error)]
    if fields:
        first = next(iter(fields.values()))[0]
        raise InvalidError(first, fields=fields)
    return PermissionSet(**found)


def read_permissions(value: object) -> dict[str, list[str]]:
    """Return permissions as somebody says them in the form in which they are stored: order and spelling are kept.

    Stricter than `parse_permissions`, which takes what was stored at any time: names are read as `domain.object_names`
    reads what people type. Raises InvalidError whose `fields` name `grants`, `schemas` or `tables`.
    """
    document = _load(value)
    parse_permissions(document)
    said: dict[str, list[str]] = {"grants": list(document["grants"])}
    fields: dict[str, list[str]] = {}
    for kind in (SCHEMA, TABLE):
        try:
            said[kind] = read_entries(document[kind], kind)
        except InvalidError as error:
            fields |= error.fields
    if fields:
        raise InvalidError(next(iter(fields.values()))[0], fields=fields)
    return said


def check_privilege(text: str) -> str:
    """Return the privilege in upper case; raise InvalidError for one that PostgreSQL does not know for tables."""
    privilege = text.strip().upper()
    if privilege == "ALL PRIVILEGES":
        privilege = ALL
    if privilege != ALL and privilege not in set(Privilege):
        raise InvalidError(
            f"“{spell_out(text)}” is not a table privilege.",
            todo=f"Choose from {', '.join(Privilege)} or {ALL}.",
        )
    return privilege


def _load(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError as error:
            raise InvalidError("The permissions are not valid JSON.", why=f"{error}.") from None
    if not isinstance(value, Mapping):
        raise InvalidError(
            "The permissions are not an object.",
            todo='Write {"grants": ["SELECT"], "schemas": ["public"], "tables": ["*"]}.',
        )
    return value


def _names(value: object, key: str, check: Callable[[str], str]) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InvalidError(f"“{key}” is not a list of names.")
    if not value:
        raise InvalidError(f"“{key}” is empty.", todo="Name at least one.")
    if len(value) > MOST_NAMES:
        raise InvalidError(f"“{key}” has more than {MOST_NAMES} names.", todo="Use a pattern such as events_*.")
    return tuple(sorted({check(item) for item in value}))
