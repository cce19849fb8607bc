"""Why a connection cannot be made: name, port, TLS, sign-in, one after the other, each with its own error."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm

from accessmgmt.domain.certificates import CertificateFacts, read_certificate, read_der_certificate
from accessmgmt.domain.errors import InvalidError, TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.server_names import ServerNames, is_address
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.protocol import (
    LoginAnswer,
    NotPostgres,
    Wire,
    WrongName,
    ask_for_tls,
    encrypted,
    log_in,
    trusting_context,
)
from accessmgmt.provisioning.connect.reach import in_time, reach_port, unreachable
from accessmgmt.provisioning.connect.refused_login import login_error
from accessmgmt.provisioning.session.bounded import within
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements import advice_login

EXPIRED, NOT_YET_VALID = 10, 9
ENCRYPTED_MODES = frozenset({SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL})
NONSENSE = (OSError, NotPostgres, UnicodeError, ValueError, KeyError, struct.error, UnsupportedAlgorithm)
"""What comes of reading an answer that makes no sense."""


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What the TLS handshake showed. `certificate` is None when the connection is not encrypted."""

    version: str
    certificate: CertificateFacts | None
    is_offered: bool


@contextmanager
def _connected(target: Target, host: str, budget: Budget) -> Iterator[Wire]:
    """Yield an open wire, whose whole conversation has to end within the budget; what goes wrong is told in words."""

    def connect() -> socket.socket:
        return socket.create_connection((host, target.port), timeout=budget.check())

    try:
        wire = within(budget.check(), ("connect", host, target.port), connect, undo=socket.socket.close)
    except OSError as error:
        raise unreachable(target, error, budget) from None
    with wire:
        try:
            yield Wire(wire, budget)
        except ssl.SSLError:
            raise
        except TimeoutError:
            raise TargetUnavailable(
                f"{host} port {target.port} accepts connections, but does not answer.",
                why=f"No whole answer in PostgreSQL's protocol within {budget.seconds:.2g} seconds.",
                todo="Look whether the server is overloaded, or another service listens there.",
            ) from None
        except NONSENSE:
            raise TargetUnavailable(
                f"{host} port {target.port} does not answer as PostgreSQL does.",
                why="The connection was closed, or the answer was something else.",
                todo="Look whether it is the right port, and read the server's log.",
            ) from None


def shake_hands(target: Target, host: str, budget: Budget | None = None) -> TlsFacts:
    """Do the TLS handshake as ssl_mode says. Raises TargetRefused when it has to fail."""
    budget = in_time(budget)
    if target.ssl_mode is SslMode.DISABLE:
        with _connected(target, host, budget) as wire:
            return TlsFacts("", None, ask_for_tls(wire))
    try:
        with _connected(target, host, budget) as wire:
            if not ask_for_tls(wire):
                if target.ssl_mode in ENCRYPTED_MODES:
                    raise _no_tls(target, host)
                return TlsFacts("", None, False)
            with encrypted(target, host, wire) as secured:
                return TlsFacts(secured.tls_version, _described(secured), True)
    except WrongName as error:
        raise _wrong_name(host, error.names) from None
    except ssl.SSLCertVerificationError as error:
        raise _not_verified(target, host, error.verify_code, budget) from None
    except ssl.SSLError as error:
        raise _client_refused(target, host, error) from None


def _client_refused(target: Target, host: str, error: OSError) -> TargetRefused:
    """Say why the server broke the handshake off: its alert is about the certificate that we showed."""
    is_cut = isinstance(error, (ssl.SSLEOFError, ConnectionError))
    reason = (error.reason if isinstance(error, ssl.SSLError) else "") or type(error).__name__
    facts = read_certificate(target.tls_cert_file) if target.tls_cert_file else None
    why = f"OpenSSL says {reason}."
    if facts is not None and facts.not_after < datetime.now(UTC):
        return TargetRefused(
            f"The client certificate of “{target.name}” has expired.",
            why=f"It ended on {facts.not_after:%Y-%m-%d %H:%M} UTC.",
            todo="Renew it, and paste the new one with its key.",
        )
    if facts is not None and (is_cut or "UNKNOWN_CA" in reason):
        return TargetRefused(
            f"{host} does not trust the client certificate of “{target.name}”.",
            why=f"It was signed by {facts.issuer}, and the server ended the connection when it was shown.",
            todo="Have it signed by an authority in the server's ssl_ca_file, or add this one there, and let the server"
            " read it again.",
        )
    return TargetRefused(
        f"The TLS handshake with {host} failed.",
        why=why,
        todo="Look at the client certificate and key of the resource, and at the server's log.",
    )


def _described(secured: Wire) -> CertificateFacts | None:
    der = secured.certificate
    if der is None:
        return None
    try:
        return read_der_certificate(der)
    except InvalidError:
        return None


def shown_certificate(target: Target, host: str, budget: Budget | None = None) -> CertificateFacts | None:
    """Look at the certificate a server shows, whoever signed it."""
    try:
        with _connected(target, host, in_time(budget)) as wire:
            if not ask_for_tls(wire):
                return None
            with wire.encrypted(trusting_context(), host) as secured:
                return _described(secured)
    except (OSError, TargetError):
        return None


def _no_tls(target: Target, host: str) -> TargetRefused:
    return TargetRefused(
        f"{host} does not offer encryption.",
        why=f"ssl_mode is {target.ssl_mode}, and the server has TLS switched off.",
        todo=str(advice_login.switch_tls_on()),
    )


def _wrong_name(host: str, found: ServerNames) -> TargetRefused:
    names = found.counted_for(host)
    kind = "address" if is_address(host) else "name"
    renew = f"give the server a certificate for this {kind} (subjectAltName)"
    unused = found.common_name
    beside = f" Its common name “{unused}” does not count beside them." if unused and unused not in names else ""
    return TargetRefused(
        f"The server's certificate is not for “{host}”.",
        why=f"It is for {', '.join(names)}.{beside}" if names else "It holds no name at all.",
        todo=f"Use one of these as host, or {renew}." if names else f"{renew[0].upper()}{renew[1:]}.",
    )


def _not_verified(target: Target, host: str, code: int, budget: Budget) -> TargetRefused:
    facts = shown_certificate(target, host, budget) if budget.remaining_seconds > 0 else None
    if code == EXPIRED:
        until = f"It ended on {facts.not_after:%Y-%m-%d %H:%M} UTC." if facts else "Its time is over."
        return TargetRefused(
            f"The certificate of “{host}” has expired.",
            why=until,
            todo="Renew the server's certificate, and let the server read it again.",
        )
    if code == NOT_YET_VALID:
        return TargetRefused(
            f"The certificate of “{host}” is not valid yet.",
            why=f"It begins on {facts.not_before:%Y-%m-%d %H:%M} UTC." if facts else "",
            todo="Look at the clocks of the server and of the portal.",
        )
    signer = f"It was signed by {facts.issuer}." if facts else "Its signer is not among the root certificates."
    return TargetRefused(
        f"The certificate of “{host}” is signed by an authority that this resource does not trust.",
        why=signer,
        todo="Paste that authority's certificate as tls_root_cert.",
    )


def try_log_in(target: Target, host: str, budget: Budget | None = None) -> LoginAnswer:
    """Log in with the target's credential, over TLS where ssl_mode asks for it, and say how the server answered.

    Raises TargetRefused when ssl_mode asks for TLS and there is none: the proof of a password is not sent in clear.
    """
    with _connected(target, host, in_time(budget)) as wire:
        if target.ssl_mode is SslMode.DISABLE:
            return _ask(wire, target)
        if not ask_for_tls(wire):
            if target.ssl_mode in ENCRYPTED_MODES:
                raise _no_tls(target, host)
            return _ask(wire, target)
        try:
            with encrypted(target, host, wire) as secured:
                return _ask(secured, target)
        except WrongName as error:
            raise _wrong_name(host, error.names) from None
        except (ssl.SSLError, ConnectionError) as error:
            # With TLS 1.3 the server looks at our certificate after the handshake. Its alert may be lost when it
            # closes the connection while we write: then we only see that it is closed.
            if not (target.tls_cert_file or isinstance(error, ssl.SSLError)):
                raise
            raise _client_refused(target, host, error) from None


def _ask(wire: Wire, target: Target) -> LoginAnswer:
    # Without a verified certificate, channel binding is what keeps a relay out.
    must_bind = target.ssl_mode is SslMode.REQUIRE and not target.tls_root_cert
    answer = log_in(
        wire, user=target.username, database=target.database_name, password=target.password, must_bind=must_bind
    )
    return replace(answer, address=wire.own_address)


def diagnose(target: Target, budget: Budget, *, made_on: int = 0) -> TargetError:
    """Find out why a connection could not be made.

    `made_on` is the server's major version when the portal made the login itself. All in all it takes TIMEOUT_SECONDS
    at most, and no longer than the budget.
    """
    try:
        budget = in_time(budget)
        host = reach_port(target, budget)
        shake_hands(target, host, budget)
        answer = try_log_in(target, host, budget)
    except ssl.SSLError as error:
        return TargetRefused(f"The TLS handshake with “{target.name}” failed.", why=str(error.reason))
    except TargetError as error:
        return error
    found = login_error(target, host, answer, made_on=made_on)
    if found is not None:
        return found
    if answer.mechanisms and f"{answer.mechanisms[0]}-PLUS" not in answer.mechanisms and len(answer.mechanisms) == 1:
        return TargetUnavailable(
            f"The connection to “{target.name}” could not be made safe.",
            why="The server, or a proxy before it, offers no channel binding over TLS.",
            todo="Use ssl_mode verify-full with the authority's certificate, and connect without a proxy.",
        )
    return TargetUnavailable(
        f"“{target.name}” could not be connected to, and a moment later it could.",
        why=f"Asked at {datetime.now(UTC):%H:%M:%S} UTC.",
        todo="It is tried again by itself.",
    )
