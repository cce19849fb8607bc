"""Static files: names that change with their content, compressed ahead, kept for a year; pages compressed."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.test import Client

from accessmgmt.models import User
from portal import assets

COLLECTED = Path(settings.STATIC_ROOT)
HASHED = re.compile(r"\.[0-9a-f]{12}\.(css|js|svg|woff2)$")
LOADED = ("css/portal.css", "js/app.js", "js/spans.js", "js/theme.js", "vendor/htmx.js", "vendor/inter-latin.woff2")


def body(response: object) -> bytes:
    return b"".join(response)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("name", LOADED)
def test_a_file_is_kept_for_a_year_under_a_name_with_its_hash(client: Client, name: str) -> None:
    url = static(name)
    assert HASHED.search(url)
    response = client.get(url)
    assert response.status_code == 200
    kept = {part.strip() for part in response["Cache-Control"].split(",")}
    assert kept == {"public", "max-age=31536000", "immutable"}


@pytest.mark.parametrize("name", [name for name in LOADED if not name.endswith(".woff2")])
@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_texts_are_compressed_ahead(client: Client, name: str, encoding: str) -> None:
    plain = body(client.get(static(name)))
    response = client.get(static(name), headers={"Accept-Encoding": encoding})
    assert response["Content-Encoding"] == encoding
    assert "Accept-Encoding" in response["Vary"]
    assert len(body(response)) < len(plain) * 0.6


def test_a_font_is_not_compressed_twice(client: Client) -> None:
    response = client.get(static("vendor/inter-latin.woff2"), headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in response
    assert response["Content-Type"] == "font/woff2"


def test_only_what_pages_load_is_served(client: Client) -> None:
    served = {path.name for path in COLLECTED.rglob("*") if path.suffix in {".css", ".js"}}
    assert len(served) == 5
    assert client.get("/static/css/shell.css").status_code != 200
    assert client.get("/static/tabler/js/tabler.min.js").status_code != 200
    assert finders.find("tabler/js/tabler.min.js") is None


def test_one_stylesheet_holds_all_in_layers(client: Client) -> None:
    text = body(client.get(static("css/portal.css"))).decode()
    assert "@import" not in text
    assert "sourceMappingURL" not in text
    layers = re.findall(r"^@layer (\w+) \{$", text, re.MULTILINE)
    order = ["tabler", "tokens", "shell", "components", "pages"]
    assert set(layers) == set(order)
    assert layers == sorted(layers, key=order.index)
    for url in re.findall(r"url\([\"']?([^)\"']+)", text):
        assert url.startswith("data:") or (COLLECTED / "css" / url.partition("#")[0]).resolve().is_file(), url


def test_a_stylesheet_that_is_moved_into_the_bundle_takes_no_relative_url_along() -> None:
    text = '@import url("components/x.css") layer(components);\n'
    with pytest.raises(ValueError, match=r"components/x\.css"):
        assets.bundle(text, lambda name: ".x { background: url(x.svg) }")
    with pytest.raises(ValueError, match="import"):
        assets.bundle('@import "other.css";\n', lambda name: "")


def test_every_stylesheet_is_imported() -> None:
    folder = settings.BASE_DIR / "static" / "css"
    text = (folder / "portal.css").read_text()
    _, names = assets.bundle(text, lambda name: "")
    written = {f"css/{path.relative_to(folder)}" for path in folder.rglob("*.css")} - {assets.BUNDLE}
    assert names == written | {"vendor/tabler.css"}


@pytest.fixture
def signed_in(client_for: Callable[[User], Client], alice: User) -> Client:
    """A client of Alice."""
    return client_for(alice)


def test_pages_are_compressed(signed_in: Client) -> None:
    plain = signed_in.get("/")
    compressed = signed_in.get("/", headers={"Accept-Encoding": "gzip"})
    assert compressed["Content-Encoding"] == "gzip"
    assert b"</html>" in gzip.decompress(compressed.content)
    assert len(compressed.content) < len(plain.content) / 2
    assert "Accept-Encoding" in compressed["Vary"]
    assert "no-store" in compressed["Cache-Control"]


def test_the_length_of_a_compressed_page_varies(signed_in: Client) -> None:
    page = {len(signed_in.get("/nowhere", headers={"Accept-Encoding": "gzip"}).content) for _ in range(20)}
    assert len(page) > 1


def test_what_a_post_answers_is_not_compressed(signed_in: Client) -> None:
    response = signed_in.post("/profile/", {"change_password": "1"}, headers={"Accept-Encoding": "gzip"})
    assert response.status_code == 422
    assert "Content-Encoding" not in response
    assert b"</html>" in response.content
