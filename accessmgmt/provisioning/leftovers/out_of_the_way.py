"""Gets out of the way what a person left in schemas of others by a name that others' routines or operators have.

The application's call finds it first, or finds two, and fails: nobody may run it any more. So a routine gets another
name, an operator (which has no other name to get) is dropped, and the receipt says which. A database that a login made
is open to everybody by PostgreSQL's default; that is told here, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.chains import read_in_the_way, read_made_databases, read_operators


def find_in_the_way(session: Session, role: FoundRole) -> list[Row]:
    """List what is in the way here; queries/in_the_way.sql says what the rows have. To be asked before it is moved."""
    return session.send([read_in_the_way(role.oid)])[0]


def find_made_databases(session: Session, role: FoundRole) -> list[str]:
    """List the databases that the role made, and still owns."""
    return [row["name"] for row in session.send([read_made_databases(role.oid)])[0]]


def tell_moved(session: Session, rows: Sequence[Row]) -> list[str]:
    """Say, afterwards, what became of what find_in_the_way listed."""
    if not rows:
        return []
    place = session.conn.info.dbname
    left = {row["oid"] for row in session.send([read_operators([row["oid"] for row in rows])])[0]}
    renamed = [f"{row['name']} is now called {row['new_name']}" for row in rows if row["kind"] == "routine"]
    operators = [row for row in rows if row["kind"] == "operator"]
    dropped = [f"“{row['definition']}”" for row in operators if row["oid"] not in left]
    told = [advice.drop_operator(row["name"], place) for row in operators if row["oid"] in left]
    start = f"{place}: this was left in schemas of others, by names that others' have as well"
    notes = [f"{start}: {'; '.join(renamed)}."] if renamed else []
    notes += [f"{start}: {'; '.join(dropped)}. It was dropped."] if dropped else []
    notes += [f"{start}: operators that something uses. {advice.in_words(told)}"] if told else []
    return notes


def tell_closed(names: Sequence[str]) -> list[str]:
    """Say that databases are open to nobody any more."""
    return [
        f"The login had made the database {name}, open to everybody: only its new owner and the portal may connect now."
        for name in names
    ]
