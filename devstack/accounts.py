"""The operating-system account that servers run as.

PostgreSQL and initdb refuse to run as root, so a root caller drops to `postgres`, else `nobody`. The checkout may be in
a folder that only root can enter (mktemp -d), so the account keeps CAP_DAC_OVERRIDE: PostgreSQL only looks at the user.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """A user to run a server as."""

    name: str
    uid: int
    gid: int


@cache
def server_account() -> Account | None:
    """Return the account to drop to, or None when this process is not root and needs none."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise RuntimeError("PostgreSQL cannot run as root, and there is neither a 'postgres' nor a 'nobody' user")


@cache
def setpriv() -> str | None:
    """Return the path of setpriv (util-linux), or None."""
    return shutil.which("setpriv")


@cache
def drop_arguments(account: Account) -> tuple[str, ...]:
    """Return the setpriv options that become `account` and keep the right to enter any folder, where that is allowed.

    access(2), which PostgreSQL asks about its own program, disregards capabilities unless no_setuid_fixup is set.
    """
    identity = (f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
    rights = ("--securebits=+no_setuid_fixup", "--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override")
    probe = subprocess.run([str(setpriv()), *identity, *rights, "true"], capture_output=True, check=False)
    return (*identity, *rights) if probe.returncode == 0 else identity


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of one file or folder."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
