"""Names of schemas and tables in a permission set: how people write them, and what each entry means.

An entry is a name as it is, or a pattern when it holds `*`. In double quotes it is exactly the name between them, `*`,
dots and all, with `""` for a quote in it. Without quotes a dot, a percent sign and their like are refused: who writes
`app.orders` means a schema and a table, and who writes `ord%` means a pattern.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.names import check_object_name
from accessmgmt.domain.texts import find_unseen, read_json, spell_out, strip_unseen, unseen_error

EVERYTHING = "*"
MOST_CHARACTERS = 200_000
MOST_ERRORS = 10
TABLE, SCHEMA = "tables", "schemas"
ONLY_IN_QUOTES = '"*.%;`'
FOREIGN = {
    "%": ("a percent sign", "Any text is * here: write “{}”."),
    ";": ("a semicolon", "Write one name a line."),
    "`": ("a backtick", "Write “{}”."),
}
"""What people bring along from SQL and from other databases: what it is called, and what to write instead."""

WORDS = {TABLE: "table", SCHEMA: "schema"}


def exact_name(entry: str) -> str | None:
    """Return the name that an entry in double quotes means; None for an entry without, a name or a pattern."""
    if len(entry) < 2 or not (entry.startswith('"') and entry.endswith('"')):
        return None
    inside = entry[1:-1]
    return inside.replace('""', '"') if inside and '"' not in inside.replace('""', "") else None


def object_name(entry: str) -> str:
    """Return the name that an entry is compared with; for a pattern, the pattern itself."""
    exact = exact_name(entry)
    return entry if exact is None else exact


def is_pattern(entry: str) -> bool:
    """Say whether an entry may mean several names."""
    return EVERYTHING in entry and exact_name(entry) is None


def write_entry(name: str) -> str:
    """Return the entry that means exactly this name; in quotes only where it has to be."""
    needs_quotes = any(sign in name for sign in ONLY_IN_QUOTES) or name != strip_unseen(name)
    return '"' + name.replace('"', '""') + '"' if needs_quotes else name


def same_entry(entry: str) -> str:
    """Return a stored entry in the one spelling of its meaning: quotes that say nothing are left out."""
    exact = exact_name(entry)
    return entry if exact is None else write_entry(exact)


def check_entry(entry: str) -> str:
    """Return a stored entry in the one spelling of its meaning. Raises InvalidError when no name can be so."""
    check_object_name(object_name(entry))
    return same_entry(entry)


def read_entry(text: str, kind: str) -> str:
    """Return an entry as it is stored. `kind` is TABLE or SCHEMA.

    Raises InvalidError that proposes what to write for a schema and a table in one, a foreign pattern, a character that
    nobody can see, and a name that is too long.
    """
    entry = strip_unseen(text)
    exact = exact_name(entry)
    if exact is not None:
        return write_entry(_readable(exact))
    parts = _split_at_dots(entry)
    if parts is None:
        raise InvalidError(
            f"“{spell_out(entry)}” has a double quote that does not close a name.",
            todo='A name with a quote in it is written in quotes, with two for one: "6"" pipe".',
        )
    if len(parts) > 1:
        raise _dotted(entry, parts, kind)
    for sign, (said, advice) in FOREIGN.items():
        if sign in entry:
            proposal = advice.format(spell_out(entry.replace(sign, "*" if sign == "%" else "")))
            raise InvalidError(
                f"“{spell_out(entry)}” has {said} in it.",
                todo=f"{proposal} If the name really has it, put it in double quotes: {_quoted(entry)}",
            )
    return _readable(entry)


def read_names(text: str, kind: str) -> list[str]:
    """Return the entries of a text: one a line, or on a single line separated by commas, or a JSON list of texts.

    Order and repeats are kept. Raises InvalidError with a sentence for each of the first entries that is none.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidError(f"It is longer than {MOST_CHARACTERS:,} characters.", todo="Use a pattern such as events_*.")
    return read_entries(_entries(strip_unseen_lines(text)), kind)


def read_entries(entries: Sequence[str], kind: str) -> list[str]:
    """Return entries as they are stored. Raises InvalidError with a sentence for each of the first that is none."""
    found: list[str] = []
    errors: list[str] = []
    for entry in entries:
        try:
            found.append(read_entry(entry, kind))
        except InvalidError as error:
            errors.append(str(error))
    if errors:
        more = len(errors) - MOST_ERRORS
        texts = [*errors[:MOST_ERRORS], *([f"And {more:,} more."] if more > 0 else [])]
        raise InvalidError(errors[0], fields={kind: texts})
    return found


def write_names(entries: Sequence[str]) -> str:
    """Return a text that `read_names` reads back to these entries: one a line, or JSON where lines cannot hold them."""
    spelled = [entry if exact_name(entry) is not None or is_pattern(entry) else write_entry(entry) for entry in entries]
    text = "\n".join(spelled) + ("\n" if len(spelled) == 1 and "," in spelled[0] else "")
    try:
        if _entries(strip_unseen_lines(text)) == spelled:
            return text
    except InvalidError:
        pass
    return json.dumps(spelled, ensure_ascii=False)


def strip_unseen_lines(text: str) -> str:
    """Return a text with line feeds only, and nothing unseen before its first line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.lstrip("\ufeff\u200b\u200e\u200f\u2060")


def _entries(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        return _json_entries(text)
    if "\n" not in text:
        return [entry for part in _split_outside_quotes(text, ",") if (entry := strip_unseen(part))]
    lines = [entry for line in text.split("\n") if (entry := strip_unseen(line))]
    for line in lines:
        if line.endswith(","):
            raise InvalidError(
                f"“{spell_out(line)}” ends with a comma.",
                todo="Write one name a line without commas, or all on one line.",
            )
    return lines


def _json_entries(text: str) -> list[str]:
    try:
        names = read_json(text)
    except ValueError as error:
        raise InvalidError("This begins like a JSON list but is none.", why=f"{error}.") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidError("A JSON list of names holds only texts.", todo='Write ["public", "app"].')
    return names


def _split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split at separators outside of double quotes; a quote that is not closed is an ordinary character."""
    parts, start, is_quoted = [], 0, False
    last_quote = text.rfind('"')
    for place, sign in enumerate(text):
        if sign == '"' and (is_quoted or place < last_quote):
            is_quoted = not is_quoted
        elif sign == separator and not is_quoted:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _split_at_dots(entry: str) -> list[str] | None:
    """Return the parts of a name with dots, quotes taken off each; None when a quote stands where none can."""
    parts = []
    for part in _split_outside_quotes(entry, "."):
        exact = exact_name(part)
        if exact is None and '"' in part:
            return None
        parts.append(part if exact is None else exact)
    return parts


def _dotted(entry: str, parts: list[str], kind: str) -> InvalidError:
    schema, table = spell_out(parts[-2]), spell_out(parts[-1])
    if parts[-1] == EVERYTHING:
        advice = f"Write {schema or '*'} under schemas, and choose all tables."
    elif kind == TABLE:
        advice = f"Write {schema} under schemas, and {table} here."
    else:
        advice = f"Write {schema} here, and {table} under tables."
    return InvalidError(
        f"“{spell_out(entry)}” has a dot: it looks like a schema and a table in one.",
        todo=f"{advice} If it really is the name of one {WORDS[kind]}, put it in double quotes: {_quoted(entry)}",
    )


def _quoted(entry: str) -> str:
    return spell_out('"' + entry.replace('"', '""') + '"')


def _readable(name: str) -> str:
    """Refuse what nobody can see, and what is too long; spaces at the ends of a quoted name belong to it."""
    if (place := find_unseen(name, is_exact=True)) is not None:
        raise unseen_error("The name", name, place)
    return check_object_name(name)
