"""Library links of the embedded PostgreSQL packages.

A registry tarball holds no symbolic links, so each package lists them in `native/pg-symlinks.json` and makes them in a
post-install script. Scripts are off here (.npmrc), so this module makes them. Standard library only.
"""

import json
import os
from pathlib import Path


def link_libraries(package: Path) -> int:
    """Make the missing links of one package; return how many were made. Safe to run at the same time as itself."""
    made = 0
    for entry in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        link = _inside(package, entry["target"])
        source = _inside(package, entry["source"])
        relative = os.path.relpath(source, link.parent)
        if link.is_symlink() and str(link.readlink()) == relative:
            continue
        staged = link.with_name(f".{link.name}.{os.getpid()}")
        staged.unlink(missing_ok=True)
        staged.symlink_to(relative)
        staged.replace(link)
        made += 1
    return made


def _inside(package: Path, name: str) -> Path:
    """Return the path of `name` in the package, refusing names that lead out of it."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"{package.name}: pg-symlinks.json names a path outside the package: {name}")
    return package / name
