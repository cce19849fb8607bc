"""Certificates out of PEM text, and nothing else out of it."""

from dataclasses import dataclass

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.pem import CERTIFICATE_LABELS, is_key, read_pem


@dataclass(frozen=True, slots=True)
class PublicPem:
    """The certificate blocks of a PEM text, and whether there was anything else in it."""

    text: str
    has_more: bool


def public_pem(text: str) -> PublicPem:
    """Return the certificate blocks of `text` in order, as RFC 7468 writes them; `""` when there are none.

    An allow-list, because one file often holds certificate and private key together and an export must carry only
    what is public: a block that only says that it is a certificate, but holds a key, stays behind.
    """
    try:
        found = read_pem(text)
    except InvalidError:
        return PublicPem(text="", has_more=True)
    public = [
        block
        for block in found.blocks
        if block.label in CERTIFICATE_LABELS and block.data is not None and not is_key(block.data)
    ]
    has_more = found.has_more or found.bare is not None or len(public) < len(found.blocks)
    return PublicPem(text="".join(block.text for block in public), has_more=has_more)
