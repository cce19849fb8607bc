"""Signing in: every try is audited, and guessing is slowed down before a password is looked at.

A try is counted for the account from one place, for the place, and for the account from everywhere. A browser in which
the person has signed in before is counted by itself alone: whoever guesses elsewhere, or sits behind the same address,
never keeps a person from signing in there.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth import authenticate
from django.core import signing
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accessmgmt.domain.actions import Action
from accessmgmt.domain.client_address import site_of
from accessmgmt.domain.emails import read_address
from accessmgmt.domain.errors import InvalidError, TooManyError
from accessmgmt.domain.passwords import LONGEST_PASSWORD
from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.models import User
from accessmgmt.services.audit import trail
from accessmgmt.services.audit.refusals import record_refusal
from accessmgmt.services.tallies import Counted, Limit, forget_tries, give_try_back, take_try

KNOWN_BROWSER_AGE = timedelta(days=180)
NO_ADDRESS = "(no e-mail address)"

HALF_MINUTE, QUARTER, HOUR = timedelta(seconds=30), timedelta(minutes=15), timedelta(hours=1)
ACCOUNT_FROM_ONE_PLACE = Limit("log-in", 6, HOUR, HALF_MINUTE, QUARTER)
PLACE = Limit("log-in place", 20, HOUR, HALF_MINUTE, QUARTER)
ACCOUNT = Limit("log-in account", 100, HOUR, timedelta(seconds=5), timedelta(minutes=1))
KNOWN_BROWSER = Limit("log-in browser", 10, HOUR, HALF_MINUTE, QUARTER)
EVERY_FAILURE = Limit("log-in failed", 100, HOUR)
OLD_PASSWORD = Limit("old password", 6, HOUR, HALF_MINUTE, QUARTER)


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a try comes from: the network address, and the token of `known_browser_token`, "" without one."""

    address: str
    known_browser: str = ""


def sign_in(*, email: str, password: str, caller: Caller) -> User | None:
    """Return the person whose e-mail address and password these are; None when they do not fit.

    Raises TooManyError while the place or the account has to wait; then the password is not looked at.
    """
    name, is_address = _account_name(email)
    stranger = User(pk=0, email=name if is_address else NO_ADDRESS)
    from_here = Counted(ACCOUNT_FROM_ONE_PLACE, f"{name} {site_of(caller.address)}")
    others = [Counted(PLACE, site_of(caller.address)), Counted(ACCOUNT, name)]
    if browser := _read_token(caller.known_browser, name):
        from_here, others = Counted(KNOWN_BROWSER, f"{name} {browser}"), []
    until = take_try([from_here, *others])
    if until is not None:
        record_refusal(None, Action.USER_LOG_IN_REFUSED, stranger, address=caller.address)
        raise _too_many("Too many failed sign-ins.", until)
    user = _authenticate(name, password)
    if user is None:
        record_refusal(None, Action.USER_LOG_IN_FAILED, stranger, address=caller.address, limit=EVERY_FAILURE)
        return None
    with transaction.atomic():
        forget_tries(from_here)
        give_try_back(others)
        trail.record(user, Action.USER_LOGGED_IN, user, address=caller.address)
    return user


def check_old_password(*, user: User, password: str, caller: Caller) -> bool:
    """Say whether it is the person's password, asked for before a new one is taken. Raises TooManyError."""
    counted = Counted(OLD_PASSWORD, str(user.pk))
    until = take_try([counted])
    if until is not None:
        record_refusal(user, Action.USER_PASSWORD_CHANGE_REFUSED, user, address=caller.address)
        raise _too_many("Too many wrong passwords.", until)
    if len(password) <= LONGEST_PASSWORD and user.check_password(password):
        forget_tries(counted)
        return True
    record_refusal(user, Action.USER_PASSWORD_CHANGE_FAILED, user, address=caller.address)
    return False


def known_browser_token(user: User, caller: Caller) -> str:
    """Return what a browser keeps after signing in, to be told from strangers at the next sign-in. It opens nothing."""
    browser = _read_token(caller.known_browser, user.email) or secrets.token_urlsafe(16)
    return signing.dumps([_digest(user.email), browser], salt=__name__)


def _read_token(token: str, name: str) -> str:
    """Return which browser a token was given to for this account, "" when it was given for none or another one."""
    try:
        digest, browser = signing.loads(token[:500], salt=__name__, max_age=KNOWN_BROWSER_AGE)
    except (signing.BadSignature, ValueError):
        return ""
    return browser if hmac.compare_digest(digest, _digest(name)) else ""


def _digest(name: str) -> str:
    return salted_hmac(__name__, name, algorithm="sha256").hexdigest()


def _account_name(typed: str) -> tuple[str, bool]:
    """Return the address of the account in normal form, and whether it is one: people type passwords there, too."""
    try:
        return read_address(typed), True
    except InvalidError:
        return typed.strip().lower()[:254], False


def _authenticate(name: str, password: str) -> User | None:
    """Look at the password; it takes as long whether there is such an account or not."""
    if len(password) > LONGEST_PASSWORD:
        return None
    user = authenticate(None, username=name.replace("\x00", ""), password=password)
    return user if isinstance(user, User) else None


def _too_many(what: str, until: datetime) -> TooManyError:
    seconds = max(1, round((until - timezone.now()).total_seconds()))
    wait = ttl_in_words(seconds if seconds < 60 else 60 * round(seconds / 60))
    return TooManyError(what, why="Somebody may be guessing.", todo=f"Wait {wait}, or ask an admin for help.")
