"""The people of the demo. They all have the password that is printed at its start."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Who can sign in; `part` says what there is to try as this person."""

    email: str
    name: str
    role: str
    part: str


PEOPLE = (
    Person("admin@company.com", "Dave Admin", "admin", "sets everything up"),
    Person("approver@company.com", "Bob Approver", "member", "decides on requests"),
    Person("auditor@company.com", "Erin Auditor", "auditor", "reads everything, changes nothing"),
    Person("dev1@company.com", "Alice Developer", "member", "activates access, asks for more"),
    Person("dev2@company.com", "Frank Developer", "member", "the same"),
    Person("analyst1@company.com", "Grace Analyst", "member", "reads the replica"),
    Person("analyst2@company.com", "Heidi Analyst", "member", "the same"),
    Person("outsider@company.com", "Carol Outsider", "member", "is in no group"),
)
