"""What a generated story once left behind, in as few acts as it takes: it must not come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile.acts import ALICE, BOB, DBA, WALTER, Step, Story
from tests.hostile.ground import Ground
from tests.hostile.trial import try_story

BEFORE_16, ANY, BOTH = (14,), (18,), (14, 18)
"""Versions. Up to 15 a person may step into the capability role, and pass the login on."""

OPEN_DATABASE = Step("let everybody create in the database", DBA)
OPEN_SCHEMA = Step("let everybody create in the application's schema", DBA)
STEP_IN = Step("step into the capability role", ALICE)
HIGH = Step("attributes of the login", DBA)


def alice(act: str, whom: str = "walter", schema: str = "play") -> Step:
    """Something that the grantee does."""
    return Step(act, ALICE, whom, schema)


def bob(act: str, whom: str = "walter", schema: str = "play") -> Step:
    """Something that a colleague does, whose grant stands when the grantee's is over."""
    return Step(act, BOB, whom, schema)


def outsider(act: str, whom: str = "cap") -> Step:
    """Something that somebody without a grant does."""
    return Step(act, WALTER, whom)


def dba(act: str, whom: str = "login") -> Step:
    """Something that a careless DBA does."""
    return Step(act, DBA, whom)


CODE: dict[str, tuple[tuple[int, ...], tuple[Step, ...]]] = {
    "a trigger on an app table": (BOTH, (alice("trigger on app table"),)),
    "a truncate trigger": (ANY, (alice("truncate trigger on app table"),)),
    "a trigger with a built-in function": (BOTH, (alice("trigger with a built-in function"),)),
    "a trigger with the application's own function": (ANY, (alice("trigger with the application's function"),)),
    "a trigger on a partitioned table": (BOTH, (alice("trigger on partitioned table"),)),
    "a trigger on a view": (ANY, (alice("trigger on view"),)),
    "a deferred trigger": (BOTH, (alice("constraint trigger"),)),
    "a trigger whose condition is the person's code": (BOTH, (alice("trigger with a when clause"),)),
    "a foreign key to an app table": (BOTH, (alice("foreign key"),)),
    "a cascade into the person's trigger": (BOTH, (alice("foreign key that cascades into code"),)),
    "a foreign key to a unique column": (ANY, (alice("foreign key to a partitioned table or unique column"),)),
    "code in an index": (BOTH, (alice("expression index"),)),
    "code in an index's condition": (ANY, (alice("partial index"),)),
    "code in statistics": (BOTH, (alice("extended statistics with an expression"),)),
    "code in a materialized view's index": (ANY, (alice("materialized view with code"),)),
    "a function that shadows the server's": (BOTH, (OPEN_SCHEMA, alice("shadow a system function", schema="app"))),
    "a function that shadows the server's for everybody": (
        BEFORE_16,
        (alice("shadow a system function", schema="public"),),
    ),
    "a function that makes the application's ambiguous": (
        ANY,
        (OPEN_SCHEMA, alice("shadow an app function", schema="app")),
    ),
    "an operator that shadows the server's": (BOTH, (OPEN_SCHEMA, alice("operator", schema="app"))),
    "a definer's function of the capability role": (BEFORE_16, (STEP_IN, alice("create security definer function"))),
    "a definer's procedure of the capability role": (BEFORE_16, (STEP_IN, alice("create security definer procedure"))),
}
RIGHTS: dict[str, tuple[tuple[int, ...], tuple[Step, ...]]] = {
    "everybody's right to run an aggregate": (ANY, (alice("aggregate"),)),
    "an outsider's right on a sequence": (BOTH, (alice("sequence"),)),
    "an outsider's right on columns": (BOTH, (alice("share columns"),)),
    "an outsider's right on a large object": (BOTH, (alice("large object"), alice("share own large object"))),
    "an outsider's right on a large object elsewhere": (ANY, (alice("large object elsewhere"),)),
    "an outsider's right on a schema": (BOTH, (OPEN_DATABASE, alice("create schema"))),
    "an outsider's right on a type": (ANY, (alice("enum and composite type"), alice("share own type"))),
    "an outsider's right on a server": (
        ANY,
        (Step("let everybody use a foreign data wrapper", DBA), alice("foreign server")),
    ),
    "an outsider's right on a database": (
        ANY,
        (Step("let the login make databases", DBA), alice("create database"), alice("share own database")),
    ),
    "everybody's right on a database that the login made": (
        ANY,
        (dba("let the login make databases"), alice("create database")),
    ),
    "default privileges of the capability role": (BOTH, (alice("default privileges of the capability role"),)),
    "default privileges of a colleague's capability role": (
        BOTH,
        (bob("default privileges of the capability role", "group"),),
    ),
    "a right that a colleague gave in the capability role's name": (
        BEFORE_16,
        (bob("step into the capability role"), bob("create table"), bob("share own table with grant option")),
    ),
    "what was passed on by a set that may not see the schema any more": (
        BOTH,
        (
            dba("give a table with grant option", "cap"),
            alice("pass on an app table as the capability role", "bobcap"),
            dba("revoke from the capability role"),
        ),
    ),
    "a foreign key that was handed to the capability role": (
        BEFORE_16,
        (alice("foreign key", schema="public"), alice("reassign everything to the capability role")),
    ),
    "a right on an outsider's temporary table": (ANY, (outsider("temporary objects", "other"),)),
    "a right that was given in a database that is read-only by default": (
        BOTH,
        (dba("read only by default, database"), dba("give a tablespace with grant option")),
    ),
    "what the capability role came to own": (BEFORE_16, (STEP_IN, alice("copy a table"))),
    "what was given to the capability role": (BEFORE_16, (STEP_IN, alice("give an object to the capability role"))),
    "membership in the capability role that was passed on": (
        BOTH,
        (Step("give the capability role with admin option", DBA), alice("pass on the capability role")),
    ),
    "a session that stepped through the passed login": (
        BEFORE_16,
        (alice("pass on the login"), Step("step through the passed login", WALTER)),
    ),
    "a cursor that was opened through the passed login": (
        BEFORE_16,
        (alice("pass on the login"), Step("cursor through the passed login", WALTER)),
    ),
    "membership in a group that was passed on": (
        BOTH,
        (Step("make the login a member of a group", DBA), alice("pass on a group")),
    ),
    "what the last member of a set passed on": (
        BOTH,
        (dba("give a sequence with grant option", "cap"), alice("pass on a sequence")),
    ),
    "what the last member of a set passed on of the cluster": (
        ANY,
        (dba("give a tablespace with grant option", "cap"), alice("pass on a tablespace")),
    ),
    "what the last member of a set passed on of a wrapper": (
        BOTH,
        (dba("give a foreign data wrapper with grant option", "cap"), alice("pass on a foreign data wrapper")),
    ),
    "what was passed on while somebody holds the capability role": (
        ANY,
        (
            dba("give a tablespace with grant option", "cap"),
            alice("pass on a tablespace"),
            dba("hold the capability role"),
        ),
    ),
    "what the last member of a set passed on of the database": (
        BOTH,
        (dba("give the database with grant option", "cap"), alice("pass on the database")),
    ),
    "what was passed on by a login that a DBA dropped": (
        BOTH,
        (
            dba("give a sequence with grant option", "cap"),
            alice("pass on a sequence"),
            dba("drop the login"),
        ),
    ),
    "what was passed on to a colleague's set": (
        ANY,
        (
            dba("give a table with grant option", "cap"),
            alice("pass on an app table as the capability role", "bobcap"),
        ),
    ),
    "a leftover that colleagues would get with their set": (
        ANY,
        (OPEN_SCHEMA, alice("move into the application's schema")),
    ),
    "a transaction prepared in the capability role's name": (
        BEFORE_16,
        (
            alice("settings of the own role in a database"),
            alice("prepare a transaction that reads"),
        ),
    ),
    "a stranger's right that would keep everybody from a set": (
        BOTH,
        (outsider("large object"), outsider("share own large object")),
    ),
    "a stranger's table that would keep everybody from a set": (
        ANY,
        (outsider("share with a capability role"),),
    ),
    "a stranger's default privileges that would keep everybody from a set": (
        BOTH,
        (outsider("default privileges"),),
    ),
}
UNFINISHED: dict[str, tuple[tuple[int, ...], tuple[Step, ...]]] = {
    "a stranger's sequence that was shared with the login": (
        ANY,
        (alice("create table"), outsider("sequence", "other")),
    ),
    "a publication that was given to the login": (BOTH, (dba("publication of the login"),)),
    "an event trigger that fails for others": (
        BOTH,
        (alice("create function"), dba("log ddl by an event trigger")),
    ),
    "a portal that may not end sessions": (
        BOTH,
        (dba("take signals from the portal"), alice("read and stay idle in a transaction")),
    ),
    "a quarantine role that is gone": (ANY, (alice("create table"), dba("drop the quarantine role"))),
    "a schema that lets nobody create any more": (
        BOTH,
        (alice("create table"), dba("revoke create in the play schema")),
    ),
    "a login with attributes that only a superuser may take": (BOTH, (HIGH,)),
    "a colleague's prepared transaction in the way": (
        ANY,
        (alice("foreign key"), Step("prepare a transaction that reads", BOB)),
    ),
    "a prepared transaction that holds the role's row": (
        BOTH,
        (alice("prepare a transaction that changes the role"),),
    ),
    "a membership that a superuser gave while all roles are held": (
        BOTH,
        (dba("give the capability role with admin option"), dba("hold all roles")),
    ),
    "a membership that a superuser gave behind a prepared transaction": (
        ANY,
        (dba("make the login a member of the owner"), alice("prepare a transaction that changes the role")),
    ),
    "a held role": (ANY, (dba("hold the login"),)),
    "a changed comment": (ANY, (Step("change the login's comment", DBA),)),
    "a comment that is gone": (ANY, (Step("remove the login's comment", DBA),)),
    "a renamed login": (ANY, (Step("rename the login", DBA),)),
    "a renamed database": (ANY, (Step("rename the database", DBA),)),
    "a database that lets nobody in": (ANY, (Step("refuse connections to the database", DBA),)),
}
SHARED: dict[str, tuple[tuple[int, ...], tuple[Step, ...]]] = {
    "a colleague's constraint trigger": (ANY, (bob("constraint trigger"),)),
    "a colleague's function that shadows the server's": (
        ANY,
        (OPEN_SCHEMA, bob("shadow a system function", schema="app")),
    ),
    "what was passed on of a sequence": (
        BOTH,
        (dba("give a sequence with grant option", "cap"), alice("pass on a sequence")),
    ),
    "what was passed on of the cluster": (
        ANY,
        (dba("give a tablespace with grant option", "cap"), alice("pass on a tablespace")),
    ),
    "what was passed on of a wrapper": (
        BOTH,
        (dba("give a foreign data wrapper with grant option", "cap"), alice("pass on a foreign data wrapper")),
    ),
}
"""With a colleague who has the same set; in all others the colleague has another one."""
NARROW: dict[str, tuple[tuple[int, ...], tuple[Step, ...]]] = {
    "columns that were passed on of a table outside the set": (
        BOTH,
        (dba("give columns with grant option", "cap"), alice("pass on columns", "other")),
    ),
    "columns that the capability role passed on to itself": (
        ANY,
        (dba("give columns with grant option", "cap"), alice("pass on columns", "cap")),
    ),
    "a colleague's foreign key that was handed to the capability role": (
        BEFORE_16,
        (bob("foreign key", schema="public"), bob("reassign everything to the capability role")),
    ),
}
"""With a set that has nothing of most tables, and a colleague who has all of them."""
ALL = CODE | RIGHTS | UNFINISHED | SHARED | NARROW


@pytest.mark.parametrize(
    ("version", "name"), [pytest.param(v, name, id=f"{name}-{v}") for name, (vs, _) in ALL.items() for v in vs]
)
def test_it_does_not_outlive_the_grant(grounds: Callable[[int], Ground], version: int, name: str) -> None:
    story = Story(ALL[name][1], alice_set=3 if name in NARROW else 0, bob_set=0 if name in SHARED | NARROW else 1)
    verdict = try_story(grounds(version), story)
    assert not verdict.survivors, f"{story}\n{verdict}"
