"""Real-life spellings of what people type: generators, and the noise that comes along when something is copied."""

# ruff: noqa: RUF001 - letters that look alike are among them

from __future__ import annotations

import json
from functools import cache

from hypothesis import strategies as st

from devstack.certs import CertificateAuthority, ClientCertificate

Texts = st.SearchStrategy[str]
SEEN_AROUND = ("", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\ufeff", "\u202c", "\u3000")
INSIDE = ("\u200b", "\u00ad", "\u202e", "\u2066", "\x00", "\x07", "\u00a0", "\u2028", "\u3164", "\ufeff")
HOSTILE = (
    *("", " ", "\u200b", "\x00", "null", "None", "0", "-1", "1e9", "'", '"', "\\", "%", "%00", "${jndi:ldap://x}"),
    *("<script>alert(1)</script>", "'; DROP TABLE users; --", "../../etc/passwd", "{{ 7*7 }}", "${var.x}", "%{if}"),
    *("ＡＢＣ", "Zoë", "Zoe\u0308", "محمد", "می‌خواهم", "ශ්‍රී", "👩‍💻", "❤️", "1️⃣", "ﷺ", "🇩🇪", "ß", "İstanbul", "ǅ"),
    *("e\u0301" * 30, "a" * 121, "a" * 500, "ä" * 64, "line one\nline two", "tab\there", "x\r\ny", "[" * 3_000),
)


def noisy(texts: Texts) -> Texts:
    """Return what somebody meant with what came along: around it, and now and then inside it."""

    def inside(parts: tuple[str, str, int]) -> str:
        text, sign, place = parts
        at = place % (len(text) + 1)
        return text[:at] + sign + text[at:]

    around = st.tuples(st.sampled_from(SEEN_AROUND), texts, st.sampled_from(SEEN_AROUND)).map("".join)
    spoilt = st.tuples(texts, st.sampled_from(INSIDE), st.integers(0, 40)).map(inside)
    return st.one_of(texts, around, around, spoilt)


def or_hostile(texts: Texts) -> Texts:
    """Return mostly what is meant for the field, and now and then what is meant for none."""
    anything = st.text(st.characters(codec="utf-8"), max_size=30)
    return st.one_of(texts, texts, texts, st.sampled_from(HOSTILE), anything)


LINES = or_hostile(
    noisy(
        st.sampled_from(["postgres-production", "Read only (EU)", "équipe données", "Отдел продаж", "注文", "a" * 120])
        | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Co")), min_size=1, max_size=20)
    )
)
PARAGRAPHS = or_hostile(
    noisy(st.sampled_from(["Looking into ticket 4711", "First line\r\nsecond line", "• one\n• two"]))
)
LOCALS = (
    "dev1",
    "Jane.Doe",
    "o'brien",
    "o’brien",
    "jörg",
    "dev+tests",
    "佐藤",
    "'x'",
    "a..b",
    "jane doe",
    "иван",
    "аlice",
)
DOMAINS = (
    "company.com",
    "Company.COM.",
    "müller.de",
    "xn--mller-kva.de",
    "straße.de",
    "例え.jp",
    "localhost",
    "a..b",
    "x_y.co",
)
ADDRESS = st.tuples(st.sampled_from(LOCALS), st.sampled_from(DOMAINS)).map("@".join)
SHAPES = (
    *("{}", "<{}>", "mailto:{}?subject=x", '"{}"', "'{}'", "Last, First <{}>", '"Doe, Jane" <{}>', "{} <{}>", "{}."),
    *("{}<mailto:{}>", "[{}](mailto:{})", "{} (work)", "To: {}", "- {}", "Jane {}", "{};"),
)
ADDRESSES = noisy(st.tuples(ADDRESS, st.sampled_from(SHAPES)).map(lambda pair: pair[1].replace("{}", pair[0])))
ADDRESS_LISTS = or_hostile(
    st.one_of(
        st.lists(ADDRESSES, min_size=1, max_size=4).flatmap(
            lambda many: st.sampled_from([", ", "; ", "\n", "\t", " ", ",\r\n"]).map(lambda sign: sign.join(many))
        ),
        st.lists(ADDRESS, min_size=1, max_size=3).map(json.dumps),
        st.lists(ADDRESS, min_size=1, max_size=3).map(lambda many: f"members = {json.dumps(many, indent=2)[:-1]},\n]"),
        st.lists(ADDRESS, min_size=1, max_size=3).map(lambda many: "name;e-mail\n" + "\n".join(f"x;{m}" for m in many)),
    )
)
HOSTS = or_hostile(
    noisy(
        st.sampled_from([
            *("db1.internal.company.net", "DB1.Company.NET.", "10.0.0.7", "::1", "[2001:db8::7]", "fe80::1%eth0"),
            *("db1,db2 , 10.0.0.7", "müller.de", "db1:5432", "postgres://u:p@db1/x", "/run/postgresql", "db1/app"),
            *("127.1", "db_1", "db1;db2", "user@db1", "dаtabase", "x" * 64, "a,,b", "localhost", "2130706433", "[x]"),
        ])
    )
)  # fmt: skip
PORTS = or_hostile(
    noisy(st.integers(-2, 70_000).map(str) | st.sampled_from(["5432", "6543", "05432", "5432.0", "5 432"]))
)
OBJECTS = or_hostile(
    noisy(st.sampled_from(["production", "My Database", 'with "quotes"', "x" * 63, "ä" * 32, "a=b", "$$", "público"]))
)
PASSWORDS = or_hostile(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40))
REGIONS = or_hostile(
    noisy(st.sampled_from(["us-east-1", "EU-Central-1", "us-gov-west-1", "Frankfurt", "us east 1", "us-east"]))
)
SECRETS = or_hostile(
    noisy(
        st.sampled_from([
            *("postgres-credentials", "team/db+1=x.y@z", "my secret", "arn:aws:s3:::bucket", "x" * 513),
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
        ])
    )
)  # fmt: skip
KEYS = or_hostile(noisy(st.sampled_from(["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", "x" * 201])))
DURATIONS = or_hostile(
    noisy(
        st.sampled_from(
            ["8h", "90m", "7d", "1h30m", "8H", "1h 30m", "08h", "30s", "366d", "2 hours", "8h30", "９h", "1.5h"]
        )
    )
)
NAMES = (
    *(
        "public",
        "orders",
        "Orders",
        "ORDER ITEMS",
        "app.orders",
        '"app"."Orders"',
        '"a.b"',
        "events_*",
        "*",
        "public.*",
    ),
    *("ord%", "[dbo].[orders]", "`orders`", '"ord*"', "a,b", "x" * 64, "таблица", '6" pipe', '"6"" pipe"', "orders;"),
)
NAME_LISTS = or_hostile(
    st.one_of(
        st.lists(noisy(st.sampled_from(NAMES)), min_size=1, max_size=4).map(", ".join),
        st.lists(noisy(st.sampled_from(NAMES)), min_size=1, max_size=4).map("\r\n".join),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(json.dumps),
    )
)


@cache
def certificate() -> ClientCertificate:
    """One certificate for the whole run."""
    return CertificateAuthority("Example authority").client("portal")


def pem_of(pem: str) -> Texts:
    """Return the spellings of a PEM text, and texts that only look like one."""
    spelled = st.sampled_from([
        pem, pem.replace("\n", " "), pem.replace("\n", ""), pem.replace("\n", "\\n"), pem.replace("\n", "  \r\n"),
        "ca: |\n    " + pem.replace("\n", "\n    "), f'"{pem}"', f"subject=CN = x\n{pem}", pem * 2, pem[:-30],
        pem.replace("M", "A", 1), pem.replace("CERTIFICATE", "PKCS7"), "".join(pem.strip().split("\n")[1:-1]),
        certificate().key_pem, certificate().certificate_pem, certificate().ca_pem + certificate().key_pem,
    ])  # fmt: skip
    return or_hostile(noisy(spelled))
