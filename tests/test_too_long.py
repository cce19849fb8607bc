"""What is longer than any browser sends is refused before anybody reads or logs it."""

from __future__ import annotations

import pytest
from django.test import Client

LONG = "a" * 8_000


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/health/live", {"host": LONG}, 400),
        ("/health/live", {"host": f"a.{'b.' * 200}example"}, 400),
        (f"/{LONG}", {}, 414),
        ("/login/", {"origin": f"https://{LONG}"}, 431),
        ("/login/", {"referer": f"https://portal/{LONG}"}, 431),
        ("/login/", {"x-forwarded-proto": LONG}, 431),
        ("/login/", {"cookie": f"a={LONG * 2}"}, 431),
    ],
)
def test_a_text_that_is_too_long_is_refused_and_not_logged(
    path: str, headers: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = Client().get(path, headers=headers)
    assert answer.status_code == status
    assert len(answer.content) < 100
    assert not [record for record in caplog.records if LONG[:300] in record.getMessage()]


def test_what_browsers_send_is_let_through(db: None) -> None:
    headers = {"host": "localhost", "referer": "https://localhost/" + "a" * 1_500, "cookie": "a=" + "b" * 4_000}
    assert Client().get("/health/live", headers=headers).status_code == 200
    assert Client().get("/login/?next=/" + "a" * 3_000, headers=headers).status_code == 200
