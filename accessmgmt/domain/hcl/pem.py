"""Certificates out of PEM text, and nothing else out of it."""

import re
from dataclasses import dataclass
from typing import Final

_CERTIFICATE: Final = re.compile(
    r"-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----\r?\n[A-Za-z0-9+/= \t\r\n]+-----END \1-----"
)


@dataclass(frozen=True, slots=True)
class PublicPem:
    """The certificate blocks of a PEM text, and whether there was anything else in it."""

    text: str
    has_more: bool


def public_pem(text: str) -> PublicPem:
    """Return the certificate blocks of `text` in order, each ended by a newline; `""` when there are none.

    An allow-list, because one file often holds certificate and private key together and an export must carry only
    what is public. Source: RFC 7468, sections 2 and 5.
    """
    blocks = [found.group() for found in _CERTIFICATE.finditer(text)]
    rest = _CERTIFICATE.sub("", text)
    return PublicPem(text="".join(f"{block}\n" for block in blocks), has_more=bool(rest.strip()))
