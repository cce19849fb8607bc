"""TLS settings of a target as libpq wants them, without a file on disk."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accessmgmt.domain.certificates import tidy_certificates, tidy_key
from accessmgmt.domain.errors import InvalidError, TargetRefused
from accessmgmt.domain.targets import SslMode, Target

NOWHERE = "/dev/null/none"
"""A path that cannot exist: given where libpq would otherwise look into the home directory."""

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
VERIFYING = frozenset({SslMode.VERIFY_CA, SslMode.VERIFY_FULL})


def system_bundle() -> str | None:
    """Return the file with the authorities that this machine trusts, None when there is none."""
    candidates = (ssl.get_default_verify_paths().cafile, *SYSTEM_BUNDLES)
    return next((path for path in candidates if path and Path(path).is_file()), None)


@contextmanager
def libpq_tls(target: Target) -> Iterator[dict[str, Any]]:
    """Yield libpq's TLS parameters; the PEM texts lie in memory files that live as long as the block.

    libpq takes paths only. Each parameter is always given, so that nothing is read from the home directory.
    """
    mode = target.ssl_mode.value if target.ssl_mode else "prefer"
    settings: dict[str, Any] = {
        "sslmode": mode,
        "sslrootcert": NOWHERE,
        "sslcert": NOWHERE,
        "sslkey": NOWHERE,
        "sslcrl": NOWHERE,
        "sslpassword": "none",  # an encrypted key would otherwise ask on the terminal
        "gssencmode": "disable",
    }
    root = _tidied(target, "root certificate", tidy_certificates, target.tls_root_cert)
    certificate = _tidied(target, "client certificate", tidy_certificates, target.tls_cert_file)
    key = _tidied(target, "client key", tidy_key, target.tls_key_file)
    files: list[int] = []
    try:
        if root:
            settings["sslrootcert"] = _memory_file(root, files)
        elif target.ssl_mode in VERIFYING:
            settings["sslrootcert"] = _required_bundle(target)
        if certificate:
            settings["sslcert"] = _memory_file(certificate, files)
        if key:
            settings["sslkey"] = _memory_file(key, files)
        yield settings
    finally:
        for descriptor in files:
            os.close(descriptor)


def _tidied(target: Target, what: str, tidy: Callable[[str], str], pem: str) -> str:
    """Return a PEM text of the target in the form in which forms store it, whoever stored it."""
    try:
        return tidy(pem)
    except InvalidError as error:
        raise TargetRefused(
            f"The {what} of “{target.name}” cannot be read.", why=f"{error.what} {error.why}".strip(), todo=error.todo
        ) from None


def _required_bundle(target: Target) -> str:
    bundle = system_bundle() if target.ssl_mode is SslMode.VERIFY_FULL else None
    if bundle is None:
        raise TargetRefused(
            f"“{target.name}” cannot be verified: the resource holds no root certificate.",
            why=f"ssl_mode is {target.ssl_mode}.",
            todo="Paste the certificate of the authority that signed the server's certificate (tls_root_cert).",
        )
    return bundle


def _memory_file(text: str, files: list[int]) -> str:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    files.append(descriptor)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(os.dup(descriptor), "wb") as memory:
        memory.write(text.encode())
    return f"/proc/self/fd/{descriptor}"
