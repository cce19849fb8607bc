"""`make screenshots`: pictures of every page, wide and narrow, light and dark, in build/screenshots/.

It runs the demo's stack on free ports in a folder of its own, lets people do a few things, and looks at each page as
the persona that works there. It fails when a page scrolls sideways, or when the browser's console says anything.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page
from psycopg import sql

from devstack.browser import Person
from devstack.demo_data import DATABASE
from devstack.paths import ROOT
from devstack.stack import Stack
from tests.browser import chromium, listen, sign_in

STATE = ROOT / "build" / "screenshots-stack"
PICTURES = ROOT / "build" / "screenshots"
WIDTHS = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
ADMIN, APPROVER, AUDITOR = "admin@company.com", "approver@company.com", "auditor@company.com"
MEMBER, COLLEAGUE, OUTSIDER = "dev1@company.com", "dev2@company.com", "outsider@company.com"
REASON = "Correcting the order of ticket 4711, which the importer wrote twice"


@dataclass(frozen=True, slots=True)
class Shot:
    """One page as one person sees it. `act` does something there before the picture is taken."""

    name: str
    email: str
    path: str
    act: Callable[[Page], None] | None = None


def main() -> int:
    """Take all pictures; return an exit status."""
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree(PICTURES, ignore_errors=True)
    with Stack(STATE, fixed_ports=False) as stack, chromium() as browser:
        shots = Scene(stack).shots()
        complaints = [text for theme in THEMES for size in WIDTHS for text in _take(browser, stack, shots, size, theme)]
    shutil.rmtree(STATE)
    print(f"{len(shots)} pages, {len(THEMES) * len(WIDTHS)} pictures each, in {PICTURES.relative_to(ROOT)}/")
    print("\n".join(complaints))
    return 1 if complaints else 0


def _take(browser: Browser, stack: Stack, shots: list[Shot], size: str, theme: str) -> list[str]:
    """Take the pictures of one width and theme; return what was wrong on them."""
    width, height = WIDTHS[size]
    folder = PICTURES / f"{size}-{theme}"
    complaints: list[str] = []
    pages: dict[str, Page] = {}
    for shot in shots:
        if shot.email not in pages:
            context = browser.new_context(
                base_url=stack.base_url,
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            pages[shot.email] = context.new_page()
            listen(pages[shot.email], complaints)
            if shot.email:
                sign_in(pages[shot.email], shot.email, stack.state.people_password)
        complaints += _picture(pages[shot.email], shot, folder / f"{shot.name}.png", WIDTHS[size])
    for page in pages.values():
        page.context.close()
    return complaints


def _picture(page: Page, shot: Shot, path: Path, size: tuple[int, int]) -> list[str]:
    """Take one picture of the whole page, in a window so high that nothing sticks to an edge in the midst of it."""
    width, height = size
    page.goto(shot.path)
    if shot.act is not None:
        shot.act(page)
    found = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    page.set_viewport_size({"width": width, "height": max(height, found[1])})
    page.screenshot(path=path)
    page.set_viewport_size({"width": width, "height": height})
    return [f"{path.relative_to(PICTURES)}: {found[0]} px wide, {width} fit"] if found[0] > width else []


class Scene:
    """What people did before the pictures are taken: grants in every state, requests, drift, a server that is away."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.admin = self.person(ADMIN)
        self.member = self.person(MEMBER)
        self.colleague = self.person(COLLEAGUE)

    def person(self, email: str) -> Person:
        """Log in over HTTP."""
        return Person(self.stack.base_url, email, self.stack.state.people_password)

    def shots(self) -> list[Shot]:
        """Play the scene; return every page to look at."""
        self.describe_troubles()
        self.ask_and_decide()
        active, over, failed = self.hold()
        resource = self.row_of("/resources/", "postgres-production")
        self.drift(resource, active)
        requests = [path for path in self.listed("/requests/history", "a[href^='/requests/']") if path[-1].isdigit()]
        return [
            Shot("log-in", "", "/login/"),
            *self.of_member(active, over, failed, requests[0]),
            *self.of_approver(),
            *self.of_admin(resource, active),
            *self.of_auditor(resource),
        ]

    # --- what was done ---

    def describe_troubles(self) -> None:
        """Add a server that does not answer, and an endpoint on a table that is not there, for Frank's group."""
        admin = self.admin
        admin.open("/resources/new")
        admin.fill(
            "form#resource-form",
            name="billing-archive",
            description="The old billing system, read once a year by the auditors of the tax office",
            host="127.0.0.1",
            port="1",
            database_name="billing",
            username="jit_login",
            password=self.stack.state.target_password,
            ssl_mode="disable",
        )
        admin.open("/authorizations/new")
        names = {"grants": ["SELECT"], "schemas": "public", "all_tables": False, "tables": "order_history"}
        admin.fill("form#authorization-form", name="history-read", **names)
        for name, resource, authorization in (
            ("billing-archive-read", "billing-archive", "analyst-role"),
            ("order-history-read", "postgres-production", "history-read"),
        ):
            admin.open("/endpoints/new")
            chosen = {"resource": resource, "authorization": authorization}
            values = {field: admin.choice(field, label) for field, label in chosen.items()}
            admin.fill("form#endpoint-form", name=name, ttl="30m", **values)
            admin.open(self.row_of("/groups/", "backend-developers"))
            admin.fill("form[action$='/wire']", endpoint=admin.choice("endpoint", name))

    def ask_and_decide(self) -> None:
        """One request is approved, one denied, one waits."""
        approver = self.person(APPROVER)
        for person, decision in ((self.colleague, "approve"), (self.member, "deny"), (self.person(OUTSIDER), "")):
            person.open("/")
            person.open(person.links("a[aria-label='Request postgres-orders-repair']")[0])
            person.fill("form.card[method=post]", reason=REASON, duration="30m")
            if decision:
                approver.open("/requests/")
                comment = "Please take the read replica for looking." if decision == "deny" else ""
                path = approver.links("form[action$='/approve']")[0].replace("/approve", f"/{decision}")
                approver.post(path, comment=comment, duration="30m")

    def hold(self) -> tuple[str, str, str]:
        """Alice holds one grant and has released one; Frank's waits for a server and one was refused."""
        over = self.activate(self.member, "postgres-quick-look", until="#fact-user")
        self.member.open(over)
        self.member.fill("form[action$='/release']")
        self.member.wait_for(over, "#receipt-title")
        active = self.activate(self.member, "postgres-dev-access", until="#fact-user")
        self.activate(self.colleague, "billing-archive-read")
        failed = self.activate(self.colleague, "order-history-read")
        return active, over, failed

    def activate(self, person: Person, endpoint: str, *, until: str = "main") -> str:
        """Activate and wait for what a CSS selector finds on the grant's page; return its path."""
        person.open("/")
        person.fill(f"form:has(button[aria-label='Activate {endpoint}'])")
        path = person.path
        person.wait_for(path, until)
        return path

    def drift(self, resource: str, active: str) -> None:
        """Somebody grants by hand, which the portal takes back soon, and changes a login, which waits for the admin."""
        self.member.open(active)
        login = sql.Identifier(self.member.value("#fact-user"))
        with self.stack.primary.connect(DATABASE) as conn:
            roles = conn.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'jitb\\_%%'").fetchall()
            for (role,) in roles:
                conn.execute(sql.SQL("GRANT SELECT ON public.customers TO {}").format(sql.Identifier(role)))
                conn.execute(sql.SQL("GRANT SELECT ON internal.payroll TO {}").format(sql.Identifier(role)))
            conn.execute(sql.SQL("ALTER ROLE {} NOINHERIT VALID UNTIL '2099-01-01'").format(login))
        self.admin.open(f"{resource}/drift")
        self.admin.fill(f"form[action='{resource}/drift/check']")
        self.admin.wait_for(f"{resource}/drift", "input[name=finding]")

    # --- where it is seen ---

    def of_member(self, active: str, over: str, failed: str, request: str) -> list[Shot]:
        """What members see: at work, waiting, refused, and without any group."""
        endpoint = self.row_of("/endpoints/", "postgres-orders-repair").rpartition("/")[2]
        return [
            Shot("member-my-access", MEMBER, "/"),
            Shot("member-grant", MEMBER, active),
            Shot("member-grant-password", MEMBER, active, _show_password),
            Shot("member-grant-ended", MEMBER, over),
            Shot("member-my-access-trouble", COLLEAGUE, "/"),
            Shot("member-grant-refused", COLLEAGUE, failed),
            Shot("member-my-access-empty", OUTSIDER, "/"),
            Shot("member-request-choose", MEMBER, "/requests/new"),
            Shot("member-request-new", MEMBER, f"/requests/new?endpoint={endpoint}"),
            Shot("member-request-error", MEMBER, f"/requests/new?endpoint={endpoint}", _send),
            Shot("member-inbox-empty", MEMBER, "/requests/"),
            Shot("member-history", MEMBER, "/requests/history?whose=mine"),
            Shot("member-profile", MEMBER, "/profile/"),
            Shot("member-forbidden", MEMBER, "/resources/"),
            Shot("member-not-found", MEMBER, "/nowhere"),
            Shot("admin-request", ADMIN, request),
        ]

    def of_approver(self) -> list[Shot]:
        """What an approver sees."""
        return [
            Shot("approver-inbox", APPROVER, "/requests/"),
            Shot("approver-history", APPROVER, "/requests/history"),
        ]

    def of_admin(self, resource: str, grant: str) -> list[Shot]:
        """The set-up, and what admins oversee."""
        archive = self.row_of("/resources/", "billing-archive")
        authorization = self.row_of("/authorizations/", "developer-role")
        endpoint = self.row_of("/endpoints/", "postgres-dev-access")
        group = self.row_of("/groups/", "backend-developers")
        pages = {
            "resources": "/resources/",
            "resources-no-match": "/resources/?q=nothing-like-it",
            "resource": resource,
            "resource-edit": f"{resource}/edit",
            "resource-new": "/resources/new",
            "resource-delete": f"{archive}/delete",
            "resource-pgbouncer": f"{resource}/pgbouncer",
            "drift": f"{resource}/drift",
            "drift-never": f"{archive}/drift",
            "authorizations": "/authorizations/",
            "authorization": authorization,
            "authorization-edit": f"{authorization}/edit",
            "endpoints": "/endpoints/",
            "endpoint": endpoint,
            "endpoint-edit": f"{endpoint}/edit",
            "groups": "/groups/",
            "group": group,
            "group-edit": f"{group}/edit",
            "terraform": "/terraform/",
            "grants": "/grants/",
            "grants-no-match": "/grants/?person=nobody",
            "grant": grant,
            "audit": "/audit/",
            "users": "/users/",
            "user-new": "/users/new",
            "user-edit": self.listed("/users/", "a[href$='/edit']")[0],
            "installation": "/installation",
        }
        return [
            *(Shot(f"admin-{name}", ADMIN, path) for name, path in pages.items()),
            Shot("admin-resource-tested", ADMIN, resource, _test),
            Shot("admin-resource-away", ADMIN, archive, _test),
            Shot("admin-resource-error", ADMIN, "/resources/new", _save),
            Shot("admin-drift-repair", ADMIN, f"{resource}/drift", _choose_repairs),
        ]

    def of_auditor(self, resource: str) -> list[Shot]:
        """Who reads everything and changes nothing."""
        pages = {"resource": resource, "drift": f"{resource}/drift", "grants": "/grants/", "users": "/users/"}
        return [Shot(f"auditor-{name}", AUDITOR, path) for name, path in pages.items()]

    def row_of(self, path: str, name: str) -> str:
        """Return the path of what a list calls `name`."""
        return self.listed(path, f"#rows a:-soup-contains('{name}')")[0]

    def listed(self, path: str, selector: str) -> list[str]:
        """Return where the links lead that a CSS selector finds on a page of the admin."""
        self.admin.open(path)
        return self.admin.links(selector)


def _show_password(page: Page) -> None:
    page.get_by_role("button", name="Show").click()
    page.locator("#fact-password").wait_for()


def _send(page: Page) -> None:
    page.get_by_label("Why do you need it?").fill("too short")
    page.get_by_role("button", name="Send").click()
    page.locator("[aria-invalid=true]").first.wait_for()


def _save(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("postgres-production")
    page.get_by_role("button", name="Save").click()
    page.locator("[aria-invalid=true]").first.wait_for()


def _test(page: Page) -> None:
    page.get_by_role("button", name="Test connection").click()
    page.locator("#look-ladder:not([aria-busy])").wait_for()


def _choose_repairs(page: Page) -> None:
    for box in page.locator("input[name=finding]:enabled").all():
        box.check()
    page.get_by_role("button", name="Repair what is chosen").click()
    page.locator("#repair-sql").wait_for()


if __name__ == "__main__":
    sys.exit(main())
