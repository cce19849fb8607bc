"""E-mail addresses: one spelling for each, whatever is copied along with them, and a reason for what is none."""

# ruff: noqa: RUF001 - letters that look alike are what is tested

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessmgmt.domain import address_lists, texts
from accessmgmt.domain.address_lists import read_addresses
from accessmgmt.domain.emails import read_address, same_address, search_spelling, show_address
from accessmgmt.domain.errors import InvalidError
from tests.limits import cpu_limit


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Dev1@Company.com", "dev1@company.com"),
        (" \tdev1@company.com.\n", "dev1@company.com"),
        ("dev1@company.com,", "dev1@company.com"),
        ("<dev1@company.com>", "dev1@company.com"),
        ("<<dev1@company.com>>;", "dev1@company.com"),
        ('"Developer, First" <dev1@company.com>', "dev1@company.com"),
        ('"dev1@company.com"', "dev1@company.com"),
        ("“dev1@company.com”", "dev1@company.com"),
        ("'dev1@company.com'", "dev1@company.com"),
        ("mailto:dev1@company.com?subject=Access%20please", "dev1@company.com"),
        ("MAILTO:Dev1@company.com", "dev1@company.com"),
        ("<mailto:o%27brien@company.com>", "o'brien@company.com"),
        ("\u200bdev1@company.com\u200b", "dev1@company.com"),
        ("\ufeffdev1@company.com", "dev1@company.com"),
        ("\u00a0dev1@company.com\u202c", "dev1@company.com"),
        ("o'brien@company.com", "o'brien@company.com"),
        ("o’brien@company.com", "o'brien@company.com"),
        ("'o'brien@company.com'", "o'brien@company.com"),
        ('"jane.doe"@company.com', "jane.doe@company.com"),
        ("dev1+tests@company.com", "dev1+tests@company.com"),
        ("a_b-c.d/e=f@sub.company.co.uk", "a_b-c.d/e=f@sub.company.co.uk"),
        ("ana@müller.de", "ana@xn--mller-kva.de"),
        ("ana@mu\u0308ller.de", "ana@xn--mller-kva.de"),
        ("ana@XN--MLLER-KVA.de", "ana@xn--mller-kva.de"),
        ("ana@straße.de", "ana@xn--strae-oqa.de"),
        ("ana@ｃｏｍｐａｎｙ。com", "ana@company.com"),
        ("佐藤@例え.jp", "佐藤@xn--r8jz45g.jp"),
        ("\ufb01n@company.com", "fin@company.com"),
        ("JÖRG@company.com", "jörg@company.com"),
        ("jo\u0308rg@company.com", "jörg@company.com"),
        ("иван@почта.рф", "иван@xn--80a1acny.xn--p1ai"),
        ("ΣΊΣΥΦΟΣ@company.com", "σίσυφοσ@company.com"),
        (f"{'a' * 64}@company.com", f"{'a' * 64}@company.com"),
    ],
)
def test_every_spelling_gives_the_one_that_is_stored(text: str, address: str) -> None:
    assert read_address(text) == address
    assert read_address(address) == address
    assert read_address(show_address(address)) == address
    assert same_address(text) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Nothing is written"),
        ("ann", "no @ in it"),
        ("ann@", "Nothing stands after the @"),
        ("@company.com", "Nothing stands before the @"),
        ("a b@company.com", "There is a space in it"),
        ("ann@company", "no dot after the @"),
        ("ann@-x.com", "begins or ends with a hyphen"),
        ("a@b@c.com", "more than one @"),
        ("ann@company..com", "Two dots"),
        ("ann@company.com <bob@company.com>", "There is"),
        ("ann@.company.com", "Two dots"),
        ("a..n@company.com", "Two dots"),
        (".ann@company.com", "begins with a dot"),
        ("ann.@company.com", "a dot before the @"),
        ("'ann@company.com", "begins with an apostrophe"),
        ("ann@10.0.0.7", "not the end of a domain"),
        ("ann@[10.0.0.7]", "in the domain"),
        ('"jane doe"@company.com', "There is a space in it"),
        ("ann\\x@company.com", "There is “\\” in it"),
        ("an\u200bn@company.com", "U+200B ZERO WIDTH SPACE at character 3, after “an”"),
        ("ann@com\u00adpany.com", "U+00AD SOFT HYPHEN"),
        ("an\u00a0n@company.com", "U+00A0 NO-BREAK SPACE"),
        ("an\u202en@company.com", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("an\x00n@company.com", "U+0000 a control character"),
        ("an\ud800n@company.com", "U+D800 half of a character"),
        ("аnn@company.com", "mixes letters that look alike: Cyrillic and Latin"),
        ("ann@cоmpany.com", "mixes letters that look alike: Cyrillic and Latin"),
        ("ann@xn--zzzzzzzz99999.com", "not the spelling of any letters"),
        ("ann@☃.com", "SNOWMAN cannot stand in a domain"),
        (f"{'a' * 65}@company.com", "longer than 64 bytes"),
        (f"{'ä' * 33}@company.com", "longer than 64 bytes"),
        (f"ann@{'a' * 64}.com", "longer than 63 characters"),
        (f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.com", "longer than 254 characters"),
        (f"ann@{'a.' * 150}com", "longer than 253 characters"),
        ("a" * 5_000 + "@company.com", "longer than 254 characters"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        read_address(text)
    assert why in refusal.value.why
    assert "dev1@company.com" in refusal.value.todo
    assert "\u202e" not in str(refusal.value)
    assert same_address(text) == text.strip().lower()[:254]


LISTS = [
    ("Dev2@company.com, dev1@company.com;\n dev2@company.com", ["dev1@company.com", "dev2@company.com"]),
    ("Last, First <a@b.co>; Doe, John <c@d.co>", ["a@b.co", "c@d.co"]),
    ("First Last <a@b.co>, John Doe <c@d.co>", ["a@b.co", "c@d.co"]),
    ('"Doe, Jane" <j@b.co>, "Roe, \\"R\\" Jo" <r@b.co>', ["j@b.co", "r@b.co"]),
    ("'Doe, Jane' <j@b.co>; a@b.co", ["a@b.co", "j@b.co"]),
    ("j@b.co <j@b.co>; 'k@b.co' <k@b.co>", ["j@b.co", "k@b.co"]),
    ("j@b.co<mailto:j@b.co>; [k@b.co](mailto:k@b.co)", ["j@b.co", "k@b.co"]),
    ("Jane <j@b.co> John <k@b.co>", ["j@b.co", "k@b.co"]),
    ("j@b.co (Jane Doe), k@b.co", ["j@b.co", "k@b.co"]),
    ("To: a@b.co, C <c@d.co>\nCc: e@f.co", ["a@b.co", "c@d.co", "e@f.co"]),
    ("- a@b.co\n* c@d.co\n• e@f.co\n1. g@h.co\n2) i@j.co", ["a@b.co", "c@d.co", "e@f.co", "g@h.co", "i@j.co"]),
    ('["a@b.co", "o\\u0027brien@b.co"]', ["a@b.co", "o'brien@b.co"]),
    ('members = [\n  "a@b.co", # the lead\n  "c@d.co", // another\n]\n', ["a@b.co", "c@d.co"]),
    ('["o\\u0027brien@b.co"# the lead\n]', ["o'brien@b.co"]),
    ('["a@b.co", # the lead]', ["a@b.co"]),
    ('["o\\u0027brien@b.co\t",]', ["o'brien@b.co"]),
    ('"members": ["a@b.co"],', ["a@b.co"]),
    ('name,E-Mail\nJane,j@b.co\n"Doe, J",Jo <k@b.co>\n', ["j@b.co", "k@b.co"]),
    ("Name;Mail;Team\nJane;j@b.co;x\n", ["j@b.co"]),
    ("User Principal Name\tName\nj@b.co\tJane\n", ["j@b.co"]),
    ("\ufeffemail\na@b.co\nc@d.co", ["a@b.co", "c@d.co"]),
    ('"a@b.co";"c@d.co"', ["a@b.co", "c@d.co"]),
    ('"a@b.co, c@d.co"', ["a@b.co", "c@d.co"]),
    ("a@b.co\tc@d.co\r\ne@f.co. | g@h.co", ["a@b.co", "c@d.co", "e@f.co", "g@h.co"]),
    ("ana@müller.de, ANA@xn--mller-kva.DE", ["ana@xn--mller-kva.de"]),
    (" ,; <> \n-\n", []),
]


@pytest.mark.parametrize(("text", "addresses"), LISTS)
def test_a_list_is_read_as_it_was_copied(text: str, addresses: list[str]) -> None:
    found = read_addresses(text)
    assert found.bad == ()
    assert list(found.good) == addresses
    assert read_addresses("\n".join(map(show_address, found.good))) == found


@pytest.mark.parametrize(
    ("text", "good", "bad", "why"),
    [
        ("a@b.co nonsense", [], "a@b.co nonsense", "Words stand beside"),
        ('["c@d.co", "a\\q@b.co",]', ["c@d.co"], "a\\q@b.co", ""),
        ("jane doe@b.co, a@b.co", ["a@b.co"], "jane doe@b.co", "Words stand beside"),
        ("Doe, Jane\na@b.co", ["a@b.co"], "Doe\nJane", "There is no @ in it"),
        ("x@b.co <a@b.co>", [], "x@b.co <a@b.co>", "another address than the one in angle brackets"),
        ("name,email\nJane,\nJo,jo@b.co", ["jo@b.co"], "Jane", "There is no @ in it"),
        ('["a@b.co", "b"]', ["a@b.co"], "b", "There is no @ in it"),
        ("a@b.co, c\u200bd@b.co", ["a@b.co"], "c\u200bd@b.co", "U+200B"),
    ],
)
def test_good_ones_are_kept_and_nothing_of_the_rest_is_lost(text: str, good: list[str], bad: str, why: str) -> None:
    found = read_addresses(text)
    assert list(found.good) == good
    assert found.rest == bad
    assert why in found.reasons[0]


def test_many_bad_ones_are_counted() -> None:
    found = read_addresses("\n".join(f"nobody {number}" for number in range(51)))
    named = ", ".join(f"“nobody {number}”" for number in range(10))
    assert found.reasons == [f"{named} and 41 more: There is no @ in it."]
    assert len(found.rest.split("\n")) == 51


WORDS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [*'<>"(),;@\t\n[]', "a@b.co", "Jane", "mailto:", "\u200b", "\\", "email\n", '["', "](", "- ", "To:"]
)


@given(st.lists(WORDS, max_size=12).map("".join))
def test_whatever_is_pasted_gives_addresses_in_their_one_spelling(text: str) -> None:
    found = read_addresses(text)
    assert all(read_address(address) == address for address in found.good)
    assert all(address.count("@") == 1 and len(address) <= 254 for address in found.good)
    assert all(each.why for each in found.bad)
    if "@" in text:
        assert found.good or found.bad


@pytest.mark.parametrize(
    "piece", ['"', '"\\', "<", "(", '["', "a@", "- ", "'", "\u200b", "mailto:", '(<"', "[", '["a\\"', "xn--", "1. "]
)
def test_the_time_to_read_grows_with_the_length_alone(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million characters take about a second; with their square it would be hours, or minutes where C copies them."""
    monkeypatch.setattr(address_lists, "MOST_CHARACTERS", 1_000_000)
    monkeypatch.setattr(texts, "MOST_JSON_CHARACTERS", 1_000_000)
    with cpu_limit("reading the addresses", seconds=30):
        read_addresses(piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize(
    ("typed", "spelling"),
    [
        ("müller.de", "xn--mller-kva.de"),
        ("@müller.de", "@xn--mller-kva.de"),
        ("ana", "ana"),
        ("jörg@", "jörg@"),
        ("jörg berg", "jörg berg"),
    ],
)
def test_a_search_for_the_letters_of_a_domain_finds_what_is_stored(typed: str, spelling: str) -> None:
    assert search_spelling(typed) == spelling
