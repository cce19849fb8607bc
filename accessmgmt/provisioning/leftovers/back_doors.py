"""What a person hung on tables of others: it would outlive the grant there, and run as whoever uses the table.

PostgreSQL does not say who made a trigger. Certain is what calls a routine of the login, a foreign key of a table that
is the login's, and what no application would make. It is undone, which is the one change that the portal makes to
others' tables; the receipt keeps the definition. Other triggers that came during the grant are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import psycopg

from accessmgmt.domain.errors import TargetRefused
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.leftovers.held_up import insist
from accessmgmt.provisioning.session.conversation import Session
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import COMMIT, Statement
from accessmgmt.provisioning.statements.chains import step_out
from accessmgmt.provisioning.statements.ending import read_hooks, run_as_read, step_into
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY

REFUSED = "42501"
GONE = frozenset({"42704", "42P01"})


@dataclass(frozen=True, slots=True)
class Hook:
    """One thing on an object of others. `words` undoes it, `milder` makes it sleep, `definition` makes it again."""

    kind: str
    relation: str
    owner: str
    words: str
    milder: str
    definition: str

    @property
    def quoted(self) -> str:
        return f"“{self.definition or self.words}”"


def remove_hooks(session: Session, target: Target, role: FoundRole) -> list[str]:
    """Undo what a login hung on objects of others here; return what was undone, and what an admin should look at.

    Raises TargetRefused, with what the owner runs, where we may not; HeldUp where somebody keeps the table busy.
    """
    notes: list[str] = []
    refused: list[Hook] = []
    place = session.conn.info.dbname
    rows = session.send([read_hooks(role.oid, role.triggers_before, role.capability)])[0]
    hooks = [Hook(**row) for row in rows]
    certain = {hook.words: hook for hook in hooks if hook.kind != "trigger"}
    for hook in certain.values():
        try:
            done = _undo(session, target, role, hook)
        except psycopg.Error as error:
            if is_lost(error) or error.sqlstate not in {REFUSED, *GONE}:
                raise
            session.roll_back()
            refused += [hook] if error.sqlstate == REFUSED else []
        else:
            notes.append(f"{place}: the login had put this on {hook.relation}: {hook.quoted}. {done}")
    if refused:
        raise _may_not(session, role, refused)
    if came := [hook for hook in hooks if hook.words not in certain]:
        listed = ", ".join(hook.quoted for hook in came)
        notes.append(
            f"{place}: these triggers came while the login might make some, and nobody can tell who made them:"
            f" {listed}. If the application does not know them: {_advice(came, place)}"
        )
    return notes


def _undo(session: Session, target: Target, role: FoundRole, hook: Hook) -> str:
    """Undo one; only make it sleep where somebody reads the table for long. Returns what was done, in words."""
    is_superuser = session.conn.info.parameter_status("is_superuser") == "on"
    own = [role.name] if hook.kind == "key" and not is_superuser else []

    def work(words: str) -> None:
        before: list[Statement] = [step_into(name, session.server_version) for name in own]
        after = [step_out(name) for name in own]
        session.send([*BEGIN_BRIEFLY, *before, run_as_read("undo what was hung on a table", words), *after, COMMIT])

    if hook.milder:
        try:
            session.repeat(partial(work, hook.words), but_not="55P03")
        except psycopg.errors.LockNotAvailable:
            session.roll_back()
            insist(session, target, partial(work, hook.milder), hook.relation)
            return (
                f"The table was too busy to drop it, so it is switched off. {_advice([hook], session.conn.info.dbname)}"
            )
        return "It was dropped."
    insist(session, target, partial(work, hook.words), hook.relation)
    return "It was dropped."


def _may_not(session: Session, role: FoundRole, refused: Sequence[Hook]) -> TargetRefused:
    relations = ", ".join(dict.fromkeys(f"{hook.relation} (of {hook.owner})" for hook in refused))
    return TargetRefused(
        f"{role.name} left code of its own on {relations} of “{session.target_name}”.",
        why=f"It runs as whoever uses the table: {', '.join(hook.quoted for hook in refused)}.",
        todo=_advice(refused, session.conn.info.dbname),
        sqlstate=REFUSED,
    )


def _advice(hooks: Sequence[Hook], database: str) -> str:
    return advice.in_words(advice.drop_hook(hook.words, hook.relation, database) for hook in hooks)
