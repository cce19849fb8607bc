"""Lists of e-mail addresses as people copy them: out of mail programs, tables, JSON and HCL."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from accessmgmt.domain.emails import AFTER, AROUND, read_address
from accessmgmt.domain.errors import InvalidError
from accessmgmt.domain.texts import read_json, spell_out, strip_unseen

MOST_CHARACTERS = 500_000
MOST_NAMED = 10
MOST_MARKS = 3
PUNCTUATION = f"{AROUND}{AFTER}'-*•·\u2013|"
MARK = re.compile(r"\s*(?:[-*•·\u2013]\s+|\d{1,4}[.)]\s+|(?:to|cc|bcc|from|sender|reply-to)\s*:)", re.IGNORECASE)
LIST_START = re.compile(r"\s*(?:\"?[A-Za-z_][\w.-]{0,99}\"?\s*[:=]\s*)?\[")
MAIL_COLUMNS = frozenset(
    {"email", "emails", "mail", "emailaddress", "mailaddress", "primaryemail", "workemail", "userprincipalname", "upn"}
)
WORDS_BESIDE = (
    "Words stand beside the address. Write the name before the address and the address in angle brackets, or leave the"
    " name out."
)


@dataclass(frozen=True, slots=True)
class BadAddress:
    """What was written where an address should stand, and why it is none."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """A list that was read: addresses as they are stored, sorted and each once; other entries as written."""

    good: tuple[str, ...]
    bad: tuple[BadAddress, ...]

    @property
    def reasons(self) -> list[str]:
        """A sentence for each reason, with the first entries that it holds for: a long list stays short to read."""
        by_reason: dict[str, list[str]] = {}
        for each in self.bad:
            by_reason.setdefault(each.why, []).append(f"“{spell_out(each.text)}”")
        sentences = [f"{_listed(entries)}: {why}" for why, entries in by_reason.items()]
        more = len(sentences) - MOST_NAMED
        return [*sentences[:MOST_NAMED], *([f"And {more:,} more reasons."] if more > 0 else [])]

    @property
    def rest(self) -> str:
        """What is no address, as it was written, one entry a line: to be corrected."""
        return "\n".join(each.text for each in self.bad)


@dataclass(slots=True)
class _Reading:
    """What one reading has found so far. `names` are words before a comma that may be a name: “Doe, Jane <j@b.com>”."""

    good: set[str] = field(default_factory=set)
    bad: list[BadAddress] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def take(self, text: str) -> str | None:
        """Take an address, or note why it is none."""
        try:
            address = read_address(text)
        except InvalidError as error:
            self.refuse(text, error.why)
            return None
        self.good.add(address)
        return address

    def refuse(self, text: str, why: str) -> None:
        """Note an entry that is no address."""
        self.bad.append(BadAddress(strip_unseen(text), why))

    def refuse_names(self) -> None:
        """Note words that no address in angle brackets followed."""
        for text in self.names:
            self.refuse(text, "There is no @ in it.")
        self.names.clear()


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a line: a word, a text in quotes, an address in angle brackets, a remark in brackets, a separator."""

    kind: str
    text: str


def read_addresses(text: str) -> Addresses:
    """Read every address of a text, however it was copied; nothing of it is lost, and nothing is guessed.

    Understands commas, semicolons, tabs, spaces and lines between addresses, names with the address in angle brackets
    (also “Last, First <a@b.com>”), `mailto:`, JSON and HCL lists, a table whose first line names a column of mail
    addresses, marks of lists. Takes time in proportion to the length. Raises InvalidError for a text that is too long.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidError(f"The list is longer than {MOST_CHARACTERS:,} characters.", todo="Paste it in parts.")
    text = strip_unseen(text.replace("\r\n", "\n").replace("\r", "\n"))
    reading = _Reading()
    for line in _entries_of_list(text) or _cells_of_table(text) or text.split("\n"):
        _read_line(reading, line)
    return Addresses(tuple(sorted(reading.good)), tuple(reading.bad))


def _listed(entries: list[str]) -> str:
    named, more = entries[:MOST_NAMED], len(entries) - MOST_NAMED
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _entries_of_list(text: str) -> list[str] | None:
    """Return the texts of a JSON or HCL list, perhaps with `name =` before it; None for anything else."""
    found = LIST_START.match(text)
    inside = text.rstrip(", \n;")
    if found is None or not inside.endswith("]") or '"' not in inside:
        return None
    body = inside[found.end() - 1 :]
    try:
        entries = read_json(body)
    except ValueError:
        return _entries_of_hcl(body[1:-1])
    is_flat = isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)
    return entries if is_flat and entries else None


def _entries_of_hcl(body: str) -> list[str] | None:
    """Return the quoted texts of an HCL list; comments from # or // to the end of the line are left out."""
    entries: list[str] = []
    place = 0
    while place < len(body):
        sign = body[place]
        if sign == '"':
            end = _closing_quote(body, place, len(body))
            if end is None:
                return None
            entries.append(_unescaped(body[place : end + 1]))
            place = end + 1
        elif sign == "#" or body.startswith("//", place):
            end = body.find("\n", place)
            place = len(body) if end < 0 else end
        elif sign.isspace() or sign == ",":
            place += 1
        else:
            return None
    return entries or None


def _unescaped(quoted: str) -> str:
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        return quoted[1:-1]


def _cells_of_table(text: str) -> list[str] | None:
    """Return the cells of the column of mail addresses, when the first line names one."""
    head, _, rest = text.partition("\n")
    if "@" in head or not rest.strip():
        return None
    for delimiter in "\t;,|":
        titles = ["".join(filter(str.isalnum, title)).lower() for title in head.split(delimiter)]
        column = next((i for i, title in enumerate(titles) if title in MAIL_COLUMNS), None)
        if column is None:
            continue
        try:
            rows = list(csv.reader(rest.split("\n"), delimiter=delimiter))
        except csv.Error:
            return None
        return [
            row[column] if len(row) > column and row[column].strip() else delimiter.join(row)
            for row in rows
            if any(cell.strip() for cell in row)
        ]
    return None


def _read_line(reading: _Reading, line: str) -> None:
    for _ in range(MOST_MARKS):
        if found := MARK.match(line):
            line = line[found.end() :]
    piece: list[_Part] = []
    for part in (*_parts(line), _Part("separator", ";")):
        if part.kind != "separator":
            piece.append(part)
            continue
        _read_piece(reading, piece)
        if part.text != ",":
            reading.refuse_names()
        piece = []


def _parts(line: str) -> Iterator[_Part]:
    """Cut a line into its parts. What opens and is not closed in the line counts as an ordinary character."""
    place, end = 0, len(line)
    is_closed = dict.fromkeys('"<(', True)
    while place < end:
        sign = line[place]
        if sign in ",;\t":
            yield _Part("separator", sign)
            place += 1
            continue
        if sign == " ":
            place += 1
            continue
        if is_closed.get(sign):
            close = _closing_quote(line, place, end) if sign == '"' else _closing(line, place)
            is_closed[sign] = close is not None
            if close is not None and line[close + 1 : close + 2] != "@":
                inside = line[place + 1 : close]
                if sign == "<":
                    yield _Part("angle", inside)
                elif sign == '"':
                    yield _Part("quoted", inside)
                elif "@" not in inside:
                    yield _Part("remark", line[place : close + 1])
                else:
                    yield from (_Part("word", word) for word in inside.split())
                place = close + 1
                continue
            start_of_rest = place + 1 if close is None else close + 1
        else:
            start_of_rest = place + 1
        stop = start_of_rest
        while stop < end and line[stop] not in " ,;\t<":
            stop += 1
        yield from (_Part("word", word) for word in line[place:stop].split("](") if word)
        place = stop


def _closing(line: str, place: int) -> int | None:
    found = line.find({"<": ">", "(": ")"}[line[place]], place)
    return found if found >= 0 else None


def _closing_quote(text: str, place: int, end: int) -> int | None:
    """Return where the quote that opens at `place` closes; a backslash takes the meaning from what follows it."""
    place += 1
    while place < end:
        if text[place] == "\\":
            place += 1
        elif text[place] == '"':
            return place
        place += 1
    return None


def _read_piece(reading: _Reading, piece: list[_Part]) -> None:
    """Read what stands between two separators."""
    last = max((i for i, part in enumerate(piece) if part.kind == "angle"), default=-1)
    before: list[_Part] = []
    for part in piece[: last + 1]:
        if part.kind == "angle":
            _take_named(reading, before, part.text)
            before = []
        else:
            before.append(part)
    after = [part for part in piece[last + 1 :] if last < 0 or part.kind != "remark"]
    _read_bare(reading, [part for part in after if _says_something(part)])


def _take_named(reading: _Reading, before: list[_Part], address: str) -> None:
    """Take an address in angle brackets. Words before it are its name, unless they are another address."""
    named = [part.text for part in before if "@" in part.text]
    if not strip_unseen(address):
        if before or reading.names:
            reading.refuse(" ".join([*reading.names, *(part.text for part in before)]), "There is no @ in it.")
        reading.names.clear()
        return
    reading.names.clear()
    try:
        wanted = read_address(address)
        if any(read_address(text) != wanted for text in named):
            why = "The name is another address than the one in angle brackets. Write the one that is meant."
            reading.refuse(f"{' '.join(part.text for part in before)} <{address}>", why)
            return
    except InvalidError:
        pass
    reading.take(address)


def _read_bare(reading: _Reading, parts: list[_Part]) -> None:
    """Read what no angle brackets tell apart: addresses alone, or words alone, which may be a name."""
    quoted = [part for part in parts if part.kind == "quoted" and "@" in part.text]
    if quoted and len(quoted) == len(parts):
        for part in quoted:
            _read_line(reading, part.text.replace('"', " "))
        return
    spoken = [part for part in parts if part.kind != "remark"] or parts
    with_at = [part for part in spoken if "@" in part.text]
    whole = " ".join(part.text for part in parts)
    if not with_at:
        if whole:
            reading.names.append(whole)
    elif len(with_at) < len(spoken):
        reading.refuse(whole, WORDS_BESIDE)
    else:
        for part in with_at:
            reading.take(part.text)


def _says_something(part: _Part) -> bool:
    return part.kind in {"quoted", "remark"} or bool(strip_unseen(part.text.strip(PUNCTUATION)))
