"""What a secret says about a connection, checked as the form checks the same fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.hosts import read_hosts, read_port
from accessmgmt.domain.names import read_object_name
from accessmgmt.domain.texts import read_json, spell_out, strip_unseen

ENGINES = frozenset({"postgres", "postgresql", "aurora-postgresql", "aurora-postgres"})
LONGEST_PASSWORD = 1_000
DEFAULT_PORT = 5432


@dataclass(frozen=True, slots=True)
class SecretValues:
    """A connection as a secret has it; what it does not say is "", the port then PostgreSQL's own."""

    username: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int = DEFAULT_PORT
    database_name: str = ""


def read_secret(text: str) -> SecretValues:
    """Read the JSON of a secret in the format of AWS: username, password, engine, host, port, dbname.

    Other keys are ignored, and so is a key whose value is null. Raises InvalidError with the reason; it never holds the
    password. Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
    """
    try:
        document = read_json(text)
    except ValueError:
        raise InvalidError("It is not JSON.") from None
    if not isinstance(document, Mapping):
        raise InvalidError("It is not a JSON object.")
    engine = _text(document, "engine").strip().lower()
    if engine and engine not in ENGINES:
        raise InvalidError(f"Its engine is {spell_out(engine)}, not postgres.")
    port = document.get("port")
    return SecretValues(
        username=_name(document, "username"),
        password=read_password(_text(document, "password"), what="Its password"),
        host=read_hosts(_text(document, "host")),
        port=DEFAULT_PORT if port is None or port == "" else read_port(port),
        database_name=_name(document, "dbname"),
    )


def read_password(text: str, *, what: str = "The password") -> str:
    """Return a password exactly as it is. Raises InvalidError for one that libpq would cut or could not send."""
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidError(f"{what} holds a character that PostgreSQL does not take.", todo="Choose another password.")
    if len(text) > LONGEST_PASSWORD:
        raise InvalidError(f"{what} is longer than {LONGEST_PASSWORD:,} characters.", todo="Choose a shorter one.")
    return text


def _name(document: Mapping[object, object], key: str) -> str:
    text = strip_unseen(_text(document, key))
    return read_object_name(text, what=f"Its {key}") if text else ""


def _text(document: Mapping[object, object], key: str) -> str:
    """Return a value that is a text, or a whole number in its place."""
    value = document.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidError(f"Its {key} is not a text.")
    return str(value)
