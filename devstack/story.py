"""The main story of the product, walked over HTTP and with real sign-ins. Each step checks what it claims."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from threading import Thread

import hcl2
import psycopg
from psycopg import errors

from devstack.browser import Person, StoryError
from devstack.recipe import LOGIN_ROLE
from devstack.stack import Stack

Step = Callable[[str], AbstractContextManager[None]]
GROUP = "smoke-team"
TABLE = "orders"
OUTSIDE = "internal.payroll"
BLINK = "6s"  # the stack of `make smoke` allows less than a minute


@dataclass(frozen=True, slots=True)
class Access:
    """A grant as its person sees it on the page: what a client needs to log in."""

    path: str
    host: str
    port: int
    database_name: str
    user: str
    password: str

    def log_in(self, ca_file: str, **options: str) -> psycopg.Connection:
        """Log in as a person's own client would, with the certificate and the host name verified."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=self.database_name,
            user=self.user,
            password=self.password,
            sslmode="verify-full",
            sslrootcert=ca_file,
            connect_timeout=5,
            autocommit=True,
            application_name="smoke",
            **options,  # type: ignore[arg-type]
        )


class Story:
    """The steps, in order; what one step finds out the next one uses."""

    def __init__(self, stack: Stack, step: Step) -> None:
        self.stack = stack
        self.step = step
        self.ca_file = str(stack.state_dir / "smoke-ca.pem")

    def walk(self) -> None:
        """Walk the whole story; raise StoryError at the first step that does not hold."""
        with self.step("the admin logs in"):
            self.admin = self.person("admin@company.com")
        self.describe()
        self.use_and_release()
        self.try_to_stay()
        self.read_on_the_replica()
        self.ask_and_approve()
        self.run_out_of_time()
        self.look_back()

    def person(self, email: str) -> Person:
        """Log in over HTTP."""
        return Person(self.stack.base_url, email, self.stack.state.people_password)

    def describe(self) -> None:
        """An admin describes a resource, an authorization, endpoints and a group, and wires them."""
        facts = self.stack.seed_facts()["primary"]
        assert isinstance(facts, dict)
        admin = self.admin
        with self.step("a resource, after a connection test that passes"):
            admin.open("/resources/new")
            names = ("host", "port", "database_name", "tls_root_cert", "tls_cert_file", "tls_key_file")
            fields = {name: str(facts[name]) for name in names}
            fields.update(username=LOGIN_ROLE, password=self.stack.state.target_password)
            admin.fill("form#resource-form", name="smoke-production", ssl_mode="verify-full", **fields)
            self.expect(admin.path, r"/resources/\d+$")
            text = admin.fill("form[action$='/test']")
            if "failed" in text.casefold():
                raise StoryError(f"the connection test does not pass:\n{text}")
        with self.step("the demo's resources, whose credentials are in AWS Secrets Manager, pass theirs"):
            for name in ("postgres-production", "postgres-read-replica"):
                admin.open("/resources/")
                admin.open(self.resource_path(name))
                text = admin.fill("form[action$='/test']")
                if "failed" in text.casefold() or "Secrets Manager" not in text:
                    raise StoryError(f"the connection test of {name} does not pass:\n{text}")
        with self.step("an authorization, an endpoint and one with a short time to live"):
            admin.open("/authorizations/new")
            admin.fill(
                "form#authorization-form",
                name="smoke-read",
                grants=["SELECT"],
                schemas="public",
                all_tables=False,
                tables=TABLE,
            )
            self.endpoint("smoke-access", "1h")
            self.endpoint("smoke-blink", BLINK, is_requestable=True)
        with self.step("a group with a member, wired to both"):
            admin.open("/groups/new")
            admin.fill("form#group-form", name=GROUP)
            self.group_path = self.expect(admin.path, r"/groups/\d+$")
            admin.fill("form[action$='/members/add']", emails="dev1@company.com")
            for name in ("smoke-access", "smoke-blink"):
                admin.open(self.group_path)
                admin.fill("form[action$='/wire']", endpoint=self.admin.choice("endpoint", name))

    def use_and_release(self) -> None:
        """A member activates, works, and releases early."""
        member = self.person("dev1@company.com")
        with self.step("a member activates, and the grant is active"):
            access = self.activate(member, "smoke-access")
        with self.step("the shown password logs in; what was granted works, the rest is refused"):
            session = access.log_in(self.ca_file)
            self.check_reach(session)
        with self.step("released early: the session is cut, the sign-in refused, the role gone, the page proves it"):
            member.open(access.path)
            member.fill("form[action$='/release']")
            self.check_gone(member, access, session)

    def try_to_stay(self) -> None:
        """A person does what might keep access, and a colleague what might keep the login; it ends all the same."""
        member, colleague = self.person("dev1@company.com"), self.person("dev2@company.com")
        with self.step("a person holds the login's row, hides a sign-in, and gets rights from a colleague"):
            access = self.activate(member, "postgres-dev-access")
            theirs = self.activate(colleague, "postgres-dev-access")
            session = access.log_in(self.ca_file)
            session.execute("BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine-from-now-on'")
            with theirs.log_in(self.ca_file) as beside:
                beside.execute("SELECT lo_create(4711)")
                beside.execute(f'GRANT SELECT ON LARGE OBJECT 4711 TO "{access.user}"')
            hidden: list[psycopg.Connection] = []
            thread = Thread(target=self.log_in_slowly, args=(access, hidden))
            thread.start()
        with self.step("released: nothing of that holds it up, and nothing is left"):
            member.open(access.path)
            member.fill("form[action$='/release']")
            self.check_gone(member, access, session)
            thread.join()
            for conn in hidden:
                self.check_cut(conn)
            colleague.open(theirs.path)
            colleague.fill("form[action$='/release']")
            self.check_gone(colleague, theirs, None)

    def read_on_the_replica(self) -> None:
        """An analyst reads on the standby."""
        analyst = self.person("analyst1@company.com")
        with self.step("an analyst activates the endpoint on the read replica and reads there"):
            access = self.activate(analyst, "postgres-analyst-access")
            session = access.log_in(self.ca_file)
            in_recovery = session.execute("SELECT pg_is_in_recovery(), count(*) > 0 FROM analytics.events").fetchone()
            if in_recovery != (True, True):
                raise StoryError(f"the analyst does not read on the standby: {in_recovery}")
        with self.step("released: the session on the replica is cut as well"):
            analyst.open(access.path)
            analyst.fill("form[action$='/release']")
            self.check_gone(analyst, access, session)

    def ask_and_approve(self) -> None:
        """Somebody outside of the group asks, and an approver decides."""
        outsider = self.person("outsider@company.com")
        with self.step("a person outside the group requests"):
            outsider.open("/")
            outsider.open(outsider.links("a[aria-label='Request postgres-orders-repair']")[0])
            outsider.fill("form.card[method=post]", reason="Correcting the order of ticket 4711", duration="30m")
            asked = self.expect(outsider.path, r"/requests/\d+$")
        with self.step("an approver approves, and that grant works too"):
            approver = self.person("approver@company.com")
            approver.open("/requests/")
            approver.fill("form[action$='/approve']", comment="Only that order", duration="20m")
            path = self.held_grant(outsider, "postgres-orders-repair")
            access = self.open_access(outsider, path)
            with access.log_in(self.ca_file) as session:
                session.execute("UPDATE orders SET status = status WHERE id = 1")
            if access.path and approver.status_of(access.path) != 404:
                raise StoryError("the approver sees a grant that is not his")
        with self.step("the person reads who approved, for how long, and what was said to it"):
            for path in (asked, access.path):
                outsider.open(path)
                if any(said not in outsider.text for said in ("Bob Approver", "20 minutes", "“Only that order”")):
                    raise StoryError(f"{path} does not tell who approved:\n{outsider.text}")
        with self.step("the admin ends it"):
            self.admin.open(access.path)
            self.admin.fill("form[action$='/revoke']")
            self.check_gone(outsider, access, None)

    def run_out_of_time(self) -> None:
        """A grant ends by itself."""
        member = self.person("dev1@company.com")
        with self.step("a grant with a short time to live is used"):
            access = self.activate(member, "smoke-blink")
            session = access.log_in(self.ca_file)
            self.check_reach(session)
        with self.step("its time ends: the session is cut, the sign-in refused, the role gone, the page proves it"):
            self.check_gone(member, access, session)

    def look_back(self) -> None:
        """The audit shows every act, and the set-up downloads as Terraform."""
        with self.step("the audit shows every act, and its proofs hold"):
            for action in ACTIONS:
                self.admin.open(f"/audit/?action={action}")
                if not self.admin.has("#rows tbody tr"):
                    raise StoryError(f"the audit does not show {action}")
            if "The chain holds" not in self.stack.manage("verify_audit"):
                raise StoryError("the audit trail does not hold")
        with self.step("the Terraform download parses and holds the set-up"):
            document = hcl2.loads(self.admin.get("/terraform/download.tf").text)
            text = str(document["resource"])
            for name in (GROUP, "smoke-access", "smoke-read", "smoke-production", "postgres-read-replica"):
                if name not in text:
                    raise StoryError(f"the export does not hold {name}")
            if self.stack.state.target_password in text:
                raise StoryError("the export holds a password")

    # --- parts of steps ---

    def endpoint(self, name: str, ttl: str, **fields: bool) -> None:
        """Make an endpoint on the story's resource and authorization."""
        self.admin.open("/endpoints/new")
        self.admin.fill(
            "form#endpoint-form",
            name=name,
            resource=self.admin.choice("resource", "smoke-production"),
            authorization=self.admin.choice("authorization", "smoke-read"),
            ttl=ttl,
            **fields,
        )
        self.expect(self.admin.path, r"/endpoints/\d+$")

    def activate(self, person: Person, endpoint: str) -> Access:
        """Activate on My access as a browser without JavaScript does, and wait until the grant is active."""
        person.open("/")
        person.fill(f"form:has(button[aria-label='Activate {endpoint}'])")
        return self.open_access(person, self.expect(person.path, r"/grants/[0-9a-f-]{36}$"))

    def held_grant(self, person: Person, endpoint: str) -> str:
        """Return the path of the person's grant on an endpoint."""
        person.open("/")
        for path in person.links("a[href^='/grants/']"):
            person.open(path)
            if endpoint in person.text:
                return path
        raise StoryError(f"{person.email} has no grant on {endpoint}:\n{person.text}")

    def open_access(self, person: Person, path: str) -> Access:
        """Wait until the grant is active and read from its page what a client needs."""
        person.wait_for(path, "#fact-user")
        ca = person.get(f"{path}/ca.pem")
        if ca.status_code == 200:
            self.stack.state_dir.joinpath("smoke-ca.pem").write_text(ca.text)
        person.fill(f"form[action='{path}/password']")
        return Access(
            path,
            host=person.value("#fact-host"),
            port=int(person.value("#fact-port")),
            database_name=person.value("#fact-database"),
            user=person.value("#fact-user"),
            password=person.value("#fact-password"),
        )

    def check_reach(self, session: psycopg.Connection) -> None:
        """A granted table is read; another one, and an UPDATE, are refused."""
        if session.execute(f"SELECT count(*) > 0 FROM {TABLE}").fetchone() != (True,):  # noqa: S608
            raise StoryError(f"{TABLE} is empty")
        for statement in (f"SELECT * FROM {OUTSIDE}", "SELECT * FROM customers", f"UPDATE {TABLE} SET status = 'paid'"):  # noqa: S608
            try:
                session.execute(statement)
            except errors.InsufficientPrivilege:
                continue
            raise StoryError(f"“{statement}” was not refused")

    def check_gone(self, person: Person, access: Access, session: psycopg.Connection | None) -> None:
        """The session is cut, a new sign-in is refused, the role is absent, and the page shows the receipt."""
        text = person.wait_for(access.path, "#receipt-title")
        if access.user not in text:
            raise StoryError(f"the receipt does not name the role:\n{text}")
        if session is not None:
            self.check_cut(session)
        try:
            access.log_in(self.ca_file).close()
        except psycopg.OperationalError:
            pass
        else:
            raise StoryError("a new sign-in was not refused")
        for server in (self.stack.primary, self.stack.standby):
            with server.connect() as conn:
                if conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [access.user]).fetchone():
                    raise StoryError(f"{access.user} is still in pg_roles")

    def check_cut(self, session: psycopg.Connection) -> None:
        """A session does not answer any more."""
        try:
            session.execute("SELECT 1")
        except psycopg.OperationalError:
            session.close()
        else:
            raise StoryError("an open session was not cut")

    def log_in_slowly(self, access: Access, made: list[psycopg.Connection]) -> None:
        """Log in so that the server does not show a session yet; keep it if it ever comes to be."""
        with suppress(psycopg.OperationalError):
            made.append(access.log_in(self.ca_file, options="-c post_auth_delay=10"))

    def resource_path(self, name: str) -> str:
        """Return the path of a resource in the list that is open."""
        for path in self.admin.links("a[href^='/resources/']"):
            if re.fullmatch(r"/resources/\d+", path) and self.admin.has(f"a[href='{path}']:-soup-contains('{name}')"):
                return path
        raise StoryError(f"{name} is not in the list of resources:\n{self.admin.text}")

    def expect(self, path: str, pattern: str) -> str:
        """Return the path, which must have the form of the pattern."""
        if re.search(pattern, path) is None:
            raise StoryError(f"at {path}, which is not like {pattern}:\n{self.admin.text}")
        return path


ACTIONS = (
    "resource.created",
    "resource.tested",
    "authorization.created",
    "endpoint.created",
    "group.created",
    "group.members_added",
    "group.wired",
    "grant.activated",
    "grant.applied",
    "grant.password_shown",
    "grant.released",
    "grant.ended",
    "request.made",
    "request.approved",
    "grant.revoked",
    "grant.expired",
)


def tell(stack: Stack, step: Step) -> None:
    """Walk the story on a running stack, each step reported through `step`."""
    Story(stack, step).walk()
