"""A person at the portal, over HTTP: follows links and fills in forms as a browser without JavaScript does."""

from __future__ import annotations

import time
from typing import Any

import mechanicalsoup
import requests


class StoryError(AssertionError):
    """A page or a server did not do what the story says."""


class Person:
    """One signed-in browser session. Every method raises StoryError with the page's text when a step goes wrong."""

    def __init__(self, base_url: str, email: str, password: str) -> None:
        self.base_url = base_url
        self.email = email
        self._browser = mechanicalsoup.StatefulBrowser(raise_on_404=False, user_agent="access-portal story")
        self.open("/login/")
        self.fill("form[method=post]", username=email, password=password)
        if "/login/" in self.path:
            raise StoryError(f"{email} could not log in:\n{self.text}")

    @property
    def path(self) -> str:
        """The path of the page that is open."""
        return str(self._browser.url).removeprefix(self.base_url)

    @property
    def text(self) -> str:
        """The visible text of the page that is open."""
        page = self._browser.page
        return " ".join((page.find("main") or page).get_text(" ").split()) if page is not None else ""

    def open(self, path: str) -> requests.Response:
        """Open a page; raise StoryError unless it answers 200."""
        response: requests.Response = self._browser.open(self.base_url + path)
        if response.status_code != 200:
            raise StoryError(f"{self.email} opens {path}: {response.status_code}\n{self.text}")
        return response

    def status_of(self, path: str) -> int:
        """Return the status code of a page without opening it."""
        return int(self._browser.get(self.base_url + path).status_code)

    def fill(self, form: str, **fields: Any) -> str:
        """Fill in and send the form that a CSS selector finds; return the text of the page that comes back.

        A list chooses several check boxes, True one, False none.
        """
        try:
            selected = self._browser.select_form(form)
            for name, value in fields.items():
                if isinstance(value, str):
                    selected.set(name, value)
                else:
                    selected.set_checkbox({name: value})
        except mechanicalsoup.LinkNotFoundError as error:
            raise StoryError(f"{self.email} at {self.path}: no {form} ({error})\n{self.text}") from None
        response = self._browser.submit_selected()
        if response.status_code != 200:
            raise StoryError(f"{self.email} sends {form}: {response.status_code}\n{self.text}")
        return self.text

    def post(self, path: str, **fields: str) -> requests.Response:
        """Send a POST with the session's CSRF token, as htmx would."""
        token = self._browser.session.cookies.get("csrftoken", "")
        headers = {"X-CSRFToken": token, "HX-Request": "true", "Referer": self.base_url + "/"}
        session: requests.Session = self._browser.session
        return session.post(self.base_url + path, data=fields, headers=headers, timeout=30)

    def get(self, path: str) -> requests.Response:
        """Fetch a fragment or a file, as htmx would."""
        session: requests.Session = self._browser.session
        return session.get(self.base_url + path, headers={"HX-Request": "true"}, timeout=30)

    def links(self, selector: str) -> list[str]:
        """Return the href or action of every element that a CSS selector finds on the page that is open."""
        found = self._browser.page.select(selector)
        return [str(element.get("href") or element.get("action")) for element in found]

    def has(self, selector: str) -> bool:
        """Tell whether a CSS selector finds something on the page that is open."""
        return self._browser.page.select_one(selector) is not None

    def value(self, selector: str) -> str:
        """Return the text, or the value of an input, that a CSS selector finds on the page that is open."""
        found = self._browser.page.select_one(selector)
        if found is None:
            raise StoryError(f"{self.email} at {self.path}: no {selector}\n{self.text}")
        return str(found.get("value") or found.get_text()).strip()

    def choice(self, name: str, label: str) -> str:
        """Return the value of the choice whose label begins with a text, in a select or among radio buttons."""
        for option in self._browser.page.select(f"select[name={name}] option"):
            if option.get_text().strip().startswith(label):
                return str(option["value"])
        raise StoryError(f"{self.email} at {self.path}: {name} offers no {label}\n{self.text}")

    def wait_for(self, path: str, selector: str, *, timeout: float = 30) -> str:
        """Open a page until a CSS selector finds something on it; return its text."""
        deadline = time.monotonic() + timeout
        while True:
            self.open(path)
            if self.has(selector):
                return self.text
            if time.monotonic() > deadline:
                raise StoryError(f"{path} never had {selector}:\n{self.text}")
            time.sleep(0.1)
