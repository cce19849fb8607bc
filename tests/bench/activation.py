"""What a person waits for: from the POST of Activate to a successful sign-in with the shown password."""

from __future__ import annotations

import re
import shutil
import time

import psycopg

from devstack.browser import Person, StoryError
from devstack.stack import Stack
from tests.bench.engine import BENCH
from tests.bench.timing import percentile

ROUNDS = 50
WARM_UP = 5
ENDPOINT = "postgres-dev-access"
GRANT_PATH = re.compile(r"/grants/[0-9a-f-]{36}")
SECRET = re.compile(r'id="fact-password">([^<]+)<')
ROLE = re.compile(r'id="role-[0-9a-f]{32}">([^<]+)<')
LATEST_SECONDS = 10.0
PAUSE_SECONDS = 0.01


def measure() -> dict[str, float]:
    """Return p50 and p95 in milliseconds on the whole stack: web server, Redis, workers, durable databases, TLS."""
    shutil.rmtree(BENCH / "stack", ignore_errors=True)
    unlimited = {"PORTAL_GRANTS_A_PERSON_AND_ENDPOINT": "1000"}
    with Stack(BENCH / "stack", fixed_ports=False, extra_environment=unlimited, say=lambda _: None) as stack:
        person = Person(stack.base_url, "dev1@company.com", stack.state.people_password)
        ca_file = BENCH / "stack-ca.pem"
        ca_file.write_text(stack.state.ca_pem)
        person.open("/")
        activate = person.links(f"form:has(button[aria-label='Activate {ENDPOINT}'])")[0]
        times = [activate_and_log_in(stack, person, activate, str(ca_file)) for _ in range(WARM_UP + ROUNDS)]
    times = times[WARM_UP:]
    return {"activate_to_login_ms_p50": percentile(times, 50), "activate_to_login_ms_p95": percentile(times, 95)}


def activate_and_log_in(stack: Stack, person: Person, activate: str, ca_file: str) -> float:
    """Activate, wait, look at the password, log in; return the milliseconds. Releasing it again is not timed.

    The card shows the login's name. It is looked at every 10 ms; a browser lets up to 250 ms pass between two looks.
    """
    began = time.perf_counter()
    path = found(GRANT_PATH, person.post(activate).text)
    card = wait_for(person, path, "grant-card-active")
    password = found(SECRET, person.post(f"{path}/password").text)
    role = found(ROLE, card)
    psycopg.connect(
        host="localhost",
        port=stack.primary.port,
        dbname="production",
        user=role,
        password=password,
        sslmode="verify-full",
        sslrootcert=ca_file,
    ).close()
    elapsed = time.perf_counter() - began
    person.post(f"{path}/release")
    wait_for(person, path, "grant-card-ended")
    return elapsed * 1000


def wait_for(person: Person, path: str, mark: str) -> str:
    """Look at a grant's card until it carries a mark; return the card."""
    deadline = time.monotonic() + LATEST_SECONDS
    while mark not in (card := person.get(f"{path}/card").text):
        if time.monotonic() > deadline:
            raise StoryError(f"{path}: no {mark} within {LATEST_SECONDS:g} s\n{card}")
        time.sleep(PAUSE_SECONDS)
    return card


def found(pattern: re.Pattern[str], text: str) -> str:
    """Return what a pattern finds, its group when it has one."""
    match = pattern.search(text)
    if match is None:
        raise StoryError(f"no {pattern.pattern} in:\n{text[:2000]}")
    return match[match.lastindex or 0]
