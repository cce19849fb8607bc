"""Every act, by name, and the permission sets that people are given."""

from __future__ import annotations

from tests.hostile.acts import ALICE, DBA, WALTER, Act, Step
from tests.hostile.acts_dba import DBA_ACTS
from tests.hostile.acts_making import MAKING
from tests.hostile.acts_sessions import SESSIONS
from tests.hostile.acts_sharing import SHARING

ACTS: dict[str, Act] = {act.name: act for act in (*MAKING, *SHARING, *SESSIONS, *DBA_ACTS)}
SETS: tuple[tuple[str, str, str], ...] = (
    ("SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER", "app", "*"),
    ("SELECT", "app", "*"),
    ("SELECT,INSERT,UPDATE,DELETE", "app", "*"),
    ("SELECT,INSERT", "app", "events_*"),
    ("SELECT,UPDATE,TRIGGER,REFERENCES", "app", "orders,customers"),
    ("SELECT", "app,play", "*"),
)
"""Privileges, schemas, tables."""

SAME = ""
"""In NEEDS: the one who then acts."""


def _given(name: str, whom: str = "login") -> tuple[Step, ...]:
    return (Step(f"give {name} with grant option", DBA, whom),)


_DATABASE = (Step("let everybody create in the database", DBA),)
_SCHEMA = (Step("let everybody create in the application's schema", DBA),)
_TABLE = (Step("give the login a table", DBA),)
_PASSED = (Step("pass on the login", ALICE, "walter"),)
NEEDS: dict[str, tuple[Step, ...]] = {
    "pass on an app table": _given("a table"),
    "pass on an app table as the capability role": _given("a table", "cap"),
    "pass on columns": _given("columns", "cap"),
    "pass on a schema": _given("a schema"),
    "pass on the database": _given("the database", "cap"),
    "pass on a sequence": _given("a sequence", "cap"),
    "pass on a function": _given("a function"),
    "pass on a type": _given("a type"),
    "pass on a language": _given("a language"),
    "pass on a foreign data wrapper": _given("a foreign data wrapper", "cap"),
    "pass on a parameter": _given("a parameter"),
    "pass on a tablespace": _given("a tablespace", "cap"),
    "pass on a colleague's table": (Step("share own table with grant option", ALICE, "walter"),),
    "pass on the outsider's table": (Step("share with a colleague's login", WALTER),),
    "pass on a colleague's large object": (
        Step("large object", ALICE),
        Step("share own large object", ALICE, "walter"),
    ),
    "pass on the login further": _PASSED,
    "step into the passed login": _PASSED,
    "step through the passed login": _PASSED,
    "cursor through the passed login": _PASSED,
    "make an object as the passed login": _PASSED,
    "pass on the capability role": (Step("give the capability role with admin option", DBA),),
    "pass on a group": (Step("make the login a member of a group", DBA),),
    "pass on a predefined role": (Step("give a predefined role", DBA),),
    "alter default privileges for the owner": (Step("make the login a member of the owner", DBA),),
    "rule on app table": _TABLE,
    "default on app table": _TABLE,
    "policy on app table": _TABLE,
    "trigger on app table as its owner": _TABLE,
    "create schema": _DATABASE,
    "trusted extension": _DATABASE,
    "publication": _DATABASE,
    "subscription": (*_DATABASE, Step("let the login make subscriptions", DBA)),
    "foreign server": (Step("let everybody use a foreign data wrapper", DBA),),
    "create role": (Step("attributes of the login", DBA),),
    "replication slot": (Step("attributes of the login", DBA),),
    "create database": (Step("let the login make databases", DBA),),
    "table named like a pattern": _SCHEMA,
    "table that a pattern matches": _SCHEMA,
    "shadow a system function": _SCHEMA,
    "shadow an app function": _SCHEMA,
    "operator": _SCHEMA,
    "move into the application's schema": _SCHEMA,
    "share own type": (Step("enum and composite type", SAME),),
    "share own sequence": (Step("sequence", SAME),),
    "share own schema": (*_DATABASE, Step("create schema", SAME)),
    "share own view": (Step("create view", SAME), Step("copy a table", SAME)),
    "share own large object": (Step("large object", SAME),),
    "share own server": (Step("let everybody use a foreign data wrapper", DBA), Step("foreign server", SAME)),
    "share own database": (Step("let the login make databases", DBA), Step("create database", SAME)),
    "fill the own database": (Step("let the login make databases", DBA), Step("create database", SAME)),
    "uncommitted grant to a colleague": (Step("create table", SAME),),
    "alter what was given": (Step("share own table with grant option", ALICE, "walter"),),
    "view over a colleague's table": (Step("share own table with grant option", ALICE, "walter"),),
    "give an object to the capability role": (Step("step into the capability role", SAME),),
    "copy a table": (Step("step into the capability role", SAME),),
    "create security definer function": (Step("step into the capability role", SAME),),
    "create security definer procedure": (Step("step into the capability role", SAME),),
}
"""What has to be done first so that an act is possible at all, often by a careless DBA."""
