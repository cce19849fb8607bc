"""Static files: what is served, as few files as can be, under names that change with their content.

`collectstatic` takes static/ and the files of packages that pages load, makes one stylesheet of all, gives each file a
name with its hash, and compresses it ahead. With PORTAL_DEBUG nothing is collected: the browser follows the imports.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import django_htmx
from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

BUNDLE = "css/portal.css"
IMPORT = re.compile(r'^@import url\("([^"]+)"\) layer\(([a-z]+)\);\n', re.MULTILINE)
SOURCE_MAP = re.compile(r"/\*# sourceMappingURL=[^*]*\*/")
URL = re.compile(r"""url\(["']?(?!["']?data:)""")
Paths = dict[str, tuple[Storage, str]]


def package_files() -> dict[str, Path]:
    """Return the files of packages that pages load, by the name under which they are served."""
    node_modules: Path = settings.NODE_MODULES
    inter = node_modules / "@fontsource-variable" / "inter" / "files"
    return {
        "vendor/tabler.css": node_modules / "@tabler" / "core" / "dist" / "css" / "tabler.min.css",
        "vendor/htmx.js": Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js",
        "vendor/inter-latin.woff2": inter / "inter-latin-wght-normal.woff2",
        "vendor/inter-latin-ext.woff2": inter / "inter-latin-ext-wght-normal.woff2",
    }


class PackageStorage(FileSystemStorage):
    """Opens the files of `package_files` by their names."""

    def path(self, name: str) -> str:
        return str(package_files()[name])


class PackageFinder(BaseFinder):
    """Finds the files of `package_files`, and nothing else of the packages."""

    def find(self, path: str, *args: Any, **options: Any) -> Any:
        """Return where a file is; an empty list when it is none of them."""
        found = package_files().get(path)
        if found is None:
            return []
        return [str(found)] if any(args) or any(options.values()) else str(found)

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Storage]]:
        """Yield each name, and what opens it."""
        storage = PackageStorage()
        for name in package_files():
            yield name, storage


def bundle(text: str, read: Callable[[str], str]) -> tuple[str, set[str]]:
    """Put the text of each imported stylesheet in the place of its import, inside its layer.

    `read` returns the text of a name; names are relative to static/. Returns the names that were imported, too.
    """
    names: set[str] = set()

    def inline(found: re.Match[str]) -> str:
        name = _relative(found[1])
        names.add(name)
        part = SOURCE_MAP.sub("", read(name)).removeprefix('@charset "UTF-8";').strip()
        if URL.search(part) and PurePosixPath(name).parent != PurePosixPath(BUNDLE).parent:
            raise ValueError(f"{name} names a file by its url: in the bundle it would be looked for elsewhere")
        return f"@layer {found[2]} {{\n{part}\n}}\n"

    whole = IMPORT.sub(inline, text)
    if "@import" in whole:
        raise ValueError(f"{BUNDLE} has an import that is none of the form url(...) layer(...)")
    return whole, names


def _relative(path: str) -> str:
    """Return a path of the bundle's folder as a name below static/."""
    parts = list(PurePosixPath(BUNDLE).parent.parts)
    for part in PurePosixPath(path).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


class BundledStaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # it has no types
    """Makes one stylesheet before it names and compresses: what was imported is not served by itself."""

    def post_process(self, paths: Paths, dry_run: bool = False, **options: Any) -> Iterator[Any]:
        """Yield (name, name with hash, whether it was changed), as Django asks for."""
        if not dry_run and BUNDLE in paths:
            paths = self._with_bundle(paths)
        yield from super().post_process(paths, dry_run=dry_run, **options)

    def _with_bundle(self, paths: Paths) -> Paths:
        def read(name: str) -> str:
            storage, path = paths[name]
            with storage.open(path) as file:
                return str(file.read(), "utf-8")

        text, names = bundle(read(BUNDLE), read)
        for name in (BUNDLE, *names):
            self.delete(name)
        self.save(BUNDLE, ContentFile(text.encode()))
        return {name: found for name, found in paths.items() if name not in names} | {BUNDLE: (self, BUNDLE)}


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # it has no types
    """Lets browsers keep a file with a hash in its name for a year, which RFC 9111 has in mind for "for ever"."""

    FOREVER = 365 * 86_400
