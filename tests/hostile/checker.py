"""Judges what a grant left on a server. It knows PostgreSQL, and nothing of the engine: the SQL is in facts.py.

Every fact that is new since before the grant needs a reason, and so does every fact that is gone:

- a live grant's login, its membership and its own objects; the capability roles and the rights of their sets;
- what a permanent person did by their own right, as the acts of the catalogue say it (`Excuses`);
- what people with a grant made, when it now belongs to the quarantine role and nobody else can use it, it is no
  SECURITY DEFINER, and nothing of the application hangs on it.

Never excused: anything by or for a role that is gone, rights that a capability role passed on, code that runs as
somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tests.hostile.acts import Excuses
from tests.hostile.facts import Fact

QUARANTINE, OUTSIDER = "jit_quarantine", "walter"
PORTAL = frozenset({"jit_portal", "jit_login_a", QUARANTINE})
PLAIN_ROLE = "f t f f f f f -1"
PERMANENT_PREFIX = re.compile(r"(^|[ .\"])[wod]_\w+|^large object 900[39]$")
BOBS = re.compile(r"^b_\w+")
SHADOWS = re.compile(r"^function (app|public)\.\"?(lower|orders|number_of_orders|textcat)\b")
"""Functions that a person makes so that the application finds them first."""
STRANGE = "a stranger's role; "
"""An excuse for everything about a role: a DBA took its comment away, and the portal must not touch it any more."""
DEFINITIONS = frozenset(
    {"code", "view", "trigger", "rule", "policy", "constraint", "foreign key", "default", "index", "column", "inherits"}
    | {"security", "publication", "subscription", "extension", "comment", "cast", "owner", "user mapping"}
)


@dataclass(frozen=True, slots=True)
class SetRule:
    """What a permission set gives: privileges on the relations of schemas whose names match."""

    privileges: frozenset[str]
    schemas: frozenset[str]
    tables: tuple[str, ...]

    def has_relation(self, schema: str, table: str) -> bool:
        """Whether a relation is in the set, by name: an exact name, or `*` for any text."""
        patterns = [".*".join(map(re.escape, name.split("*"))) for name in self.tables]
        return schema in self.schemas and any(re.fullmatch(pattern, table) for pattern in patterns)

    def allows(self, fact: Fact) -> bool:
        """Whether a fact of kind acl or default acl is this set's own."""
        kind, _, name = fact.thing.partition(" ")
        if fact.kind == "default acl":
            _, schema, letter = fact.thing.rsplit(" ", 2)
            wanted = self.privileges if letter == "r" else {"USAGE", "SELECT", "UPDATE"}
            return schema in self.schemas and fact.what in wanted
        if kind == "schema":
            return name in self.schemas and fact.what == "USAGE"
        if kind == "database":
            return fact.what == "CONNECT"
        if kind == "sequence":
            return fact.what in {"USAGE", "SELECT", "UPDATE"}
        for word in ("materialized view ", "foreign table "):
            name = fact.thing.removeprefix(word) if fact.thing.startswith(word) else name
        schema, _, table = name.partition(".")
        return self.has_relation(schema, table.strip('"')) and fact.what in self.privileges


@dataclass(frozen=True, slots=True)
class Known:
    """Who is who. `live` maps logins of grants that stand to their capability role, `ended` OIDs to names."""

    ended: Mapping[int, str]
    live: Mapping[str, str]
    sets: Mapping[str, SetRule]
    excuses: Excuses = field(default_factory=Excuses)


def judge(before: Collection[Fact], after: Collection[Fact], known: Known) -> list[str]:
    """Return what is wrong, in words; nothing when the server is as it was, but for what has a reason."""
    judge_ = _Judge(frozenset(before), frozenset(after), known)
    new = [fact for fact in sorted(judge_.after - judge_.before) if not judge_.has_reason(fact)]
    gone = [fact for fact in sorted(judge_.before - judge_.after) if not judge_.may_be_gone(fact)]
    return [f"new: {fact}" for fact in new] + [f"gone: {fact}" for fact in gone]


def _matches(fact: Fact, patterns: Collection[str]) -> bool:
    values = (fact.kind, fact.thing, fact.who, fact.what, fact.by)
    for pattern in patterns:
        fields = [part.strip() for part in pattern.split(";")]
        if all(not part or re.fullmatch(part, value) for part, value in zip(fields, values, strict=False)):
            return True
    return False


class _Judge:
    def __init__(self, before: frozenset[Fact], after: frozenset[Fact], known: Known) -> None:
        self.before, self.after, self.known = before, after, known
        self.things = {(fact.place, fact.thing) for fact in before if fact.kind in {"owner", "acl"}}
        self.live = set(known.live)
        self.capabilities = set(known.sets)
        self.gone = set(known.ended.values())
        words = (text.partition(STRANGE) for text in known.excuses.leaves)
        self.strange = {name for _, mark, name in words if mark}
        self.numbers = {str(oid) for oid in known.ended}

    def has_reason(self, fact: Fact) -> bool:
        """Say whether a new fact may be."""
        if self._is_of_somebody_gone(fact) or fact.kind == "dangling":
            return False
        if {fact.who, fact.by, *fact.thing.split()} & self.strange:
            return True
        if fact.kind == "mark" and self._is_live_ones(fact.thing.removeprefix("code of ")):
            return True
        if fact.kind == "probe" and self._holds_up_the_application():
            return True
        rule = {"acl": self._acl, "member": self._member, "role": self._role, "default acl": self._default_acl}.get(
            fact.kind
        )
        if rule is not None:
            verdict = rule(fact)
            return _matches(fact, self.known.excuses.leaves) if verdict is None else verdict
        return self._may_be(fact) or _matches(fact, self.known.excuses.leaves)

    def may_be_gone(self, fact: Fact) -> bool:
        """Say whether a fact may be there no more."""
        if fact.kind == "probe" and self._holds_up_the_application():
            return True
        return _matches(fact, self.known.excuses.takes)

    def _is_live_ones(self, letter: str) -> bool:
        return any(name.startswith(f"jit_{letter}") for name in self.live)

    def _holds_up_the_application(self) -> bool:
        """Whether somebody whose grant stands made what the application's statements meet: that is theirs to do."""
        mine = {"trigger", "foreign key", "prepared"}
        new = self.after - self.before
        return any(
            (f.kind in mine and (f.who in self.live or (self.live and BOBS.match(f.what))))
            or (f.kind == "code" and f.who in self.live and SHADOWS.search(f.thing))
            for f in new
        )

    def _is_of_somebody_gone(self, fact: Fact) -> bool:
        words = {*re.findall(r"[#\w]+", f"{fact.thing} {fact.what}"), fact.who, fact.by}
        return (
            any(word.startswith("#") for word in (fact.who, fact.by, *fact.thing.split()))
            or bool(words & self.gone)
            or (fact.kind == "policy" and bool(words & self.numbers))
        )

    def _is_old(self, fact: Fact) -> bool:
        return (fact.place, fact.thing) in self.things

    def _role(self, fact: Fact) -> bool | None:
        if fact.thing in self.capabilities:
            return fact.what == PLAIN_ROLE or None
        if fact.thing in self.live:
            return fact.what.startswith("f t f f t f f") or None
        return None

    def _member(self, fact: Fact) -> bool | None:
        options = set(fact.what.split())
        if fact.who in self.live and fact.thing == self.known.live[fact.who]:
            return fact.by == "jit_portal" and options <= {"inherit"}
        if fact.who == "jit_portal" and fact.thing in self.live | self.capabilities:
            return options == {"admin"}  # from 16 on, who makes a role gets this
        if fact.by in self.live | self.capabilities:
            return False
        if {fact.who, fact.thing} <= PORTAL | {"app_owner", "other_owner", "pg_signal_backend"}:
            return True  # a DBA did what the portal asked for
        if fact.thing in self.live:
            return fact.who in self.live or None
        return None

    def _acl(self, fact: Fact) -> bool | None:
        if fact.who == fact.by == "postgres":
            return True  # the first GRANT writes down what the superuser has anyhow
        if fact.who == fact.by:
            return fact.who in self.live | {QUARANTINE} | self.capabilities or self._is_permanent_ones(fact) or None
        if fact.by in self.capabilities:
            return False
        if fact.who in PORTAL and fact.thing.split()[0] in {"schema", "database"}:
            return True
        if fact.by == QUARANTINE:
            is_usual = fact.thing.split()[0] in {"type", "domain"} and (fact.who, fact.what) == ("PUBLIC", "USAGE")
            return is_usual or None
        if fact.who in self.capabilities and self.known.sets[fact.who].allows(fact):
            return True
        if fact.by in self.live:
            return not self._is_old(fact) or None
        return True if self._is_permanent_ones(fact) else None

    def _default_acl(self, fact: Fact) -> bool | None:
        owner = fact.thing.split()[0]
        if owner in self.live or owner == OUTSIDER:
            return True
        if owner in self.capabilities:
            return fact.who == owner
        if fact.who in self.capabilities and self.known.sets[fact.who].allows(fact):
            return True
        return None

    def _is_permanent_ones(self, fact: Fact) -> bool:
        return not self._is_old(fact) and PERMANENT_PREFIX.search(fact.thing) is not None

    def _may_be(self, fact: Fact) -> bool:
        if fact.kind not in DEFINITIONS:
            is_other_database = fact.kind == "database" and fact.thing != "main"
            return is_other_database or (fact.kind in {"setting", "prepared"} and fact.who in self.live)
        if self._is_old(fact):
            is_trigger = fact.kind == "trigger" or (fact.kind == "constraint" and " TRIGGER" in fact.what)
            return is_trigger and bool(self.live) and BOBS.match(fact.what) is not None
        if fact.kind == "comment" and fact.thing.startswith("role "):
            return fact.thing.split()[1] in self.live | self.capabilities
        if fact.who in self.live or self._is_permanent_ones(fact):
            return True
        if fact.who in self.capabilities:
            return fact.who in self.known.live.values() and self._is_disarmed(fact)
        if fact.kind == "user mapping" and fact.who == "PUBLIC":
            server = fact.thing.partition(" on ")[2]
            owners = {QUARANTINE} | self.live
            return any((f.kind, f.thing) == ("owner", server) and f.who in owners for f in self.after)
        return fact.who in {QUARANTINE, ""} and self._is_disarmed(fact)

    def _is_disarmed(self, fact: Fact) -> bool:
        """Whether a leftover does nothing to anybody: no definer's rights, and no old table is held up by it."""
        if fact.kind in {"code", "subscription"}:
            return "SECURITY DEFINER" not in fact.what and fact.what != "enabled"
        if fact.kind == "foreign key":
            return (fact.place, f"table {fact.by}") not in self.things
        if fact.kind == "inherits":
            return (fact.place, f"table {fact.what}") not in self.things
        return True
