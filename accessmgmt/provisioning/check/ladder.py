"""The connection test: a ladder of rungs, each says what was found, or why it failed and what mends it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import SetOrder
from accessmgmt.domain.permissions import PermissionSet, parse_permissions
from accessmgmt.domain.targets import Rung, RungState, SslMode, Target
from accessmgmt.provisioning.check.real_login import (
    Given,
    Rehearsal,
    end_rehearsal,
    log_in_as,
    make_login,
    new_rehearsal,
    sweep_rehearsals,
    what_to_give,
)
from accessmgmt.provisioning.connect.admin import admin_session, forget_connections
from accessmgmt.provisioning.connect.diagnose import shake_hands, try_log_in
from accessmgmt.provisioning.connect.hosts import Servers, as_linked
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.connect.reach import hosts_of, reach_ports, resolve_host
from accessmgmt.provisioning.connect.refused_login import login_error
from accessmgmt.provisioning.connect.secrets_manager import forget_secret, resolve_target
from accessmgmt.provisioning.leftovers.drop import KEEP
from accessmgmt.provisioning.leftovers.new_owner import named_owner, read_powers, strip
from accessmgmt.provisioning.privileges.read import inspect_sets, scope_of
from accessmgmt.provisioning.privileges.rehearse import rehearse_set
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.missing_rights import as_sentence
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.advice import as_script
from accessmgmt.provisioning.statements.base import ADMIN_ROLE, QUARANTINE_ROLE
from accessmgmt.provisioning.statements.reading import READ_ABILITIES

BUDGET_SECONDS = 30.0
ASK_SECONDS = 10.0
FEW_DAYS = 30
MUCH_USED = 0.9
RESERVED_SINCE = 16
FEWEST_CONNECTIONS, ENOUGH_CONNECTIONS = 6, 20
OLDEST_VERSION = 14
MOST_NAMED = 5
MANY_LOGINS = 1_000
MOST_REHEARSED = 10
READ_EVERYTHING = parse_permissions({"grants": ["SELECT"], "schemas": ["*"], "tables": ["*"]})


@dataclass(frozen=True, slots=True)
class Answer:
    """How a rung came out."""

    detail: str
    fix: str = ""
    state: RungState = RungState.PASSED


@dataclass(slots=True)
class Climb:
    """What earlier rungs found and later ones need."""

    given: Target
    target: Target
    permission_sets: Sequence[PermissionSet]
    installation: Installation
    hosts: list[str] = field(default_factory=list)
    row: Row = field(default_factory=dict)
    version: int = 0
    cluster: str = ""
    session: Session | None = None
    budget: Budget = field(default_factory=lambda: Budget(BUDGET_SECONDS))
    given_to_rehearse: Given | None = None
    rehearsal: Rehearsal | None = None

    @property
    def servers(self) -> Servers:
        return as_linked(self.given)


def test_connection(
    target: Target,
    permission_sets: Sequence[PermissionSet] = (),  # noqa: PT028 - it is no test of ours
    installation: Installation | None = None,  # noqa: PT028
    *,
    only_looks: bool = False,  # noqa: PT028
) -> Generator[Rung, None, None]:
    """Climb from the name of the host to a rehearsal of a grant; yield each rung as it is known.

    The first MOST_REHEARSED permission sets are rehearsed; SELECT on some table when there are none. Then a login is
    really made, logged in as, and ended. After a failure the rungs above are skipped, but for the end of what was made.
    All of them together take BUDGET_SECONDS at most, but for that end. With `only_looks` nothing is made at all.
    Nothing is left on the server, and no rung holds a secret.
    """
    nobody = Installation(f"test-{secrets.token_hex(6)}", secrets.token_hex(16))
    climb = Climb(target, target, permission_sets[:MOST_REHEARSED] or [READ_EVERYTHING], installation or nobody)
    steps: list[tuple[str, Callable[[Climb], Answer]]] = [
        ("Credential", _credential),
        ("Host name", _host_name),
        ("Port", _port),
        ("Encryption", _encryption),
        ("Log-in", _log_in),
        ("Server", _server),
        ("Primary", _primary),
        ("Rights", _rights),
        ("Owners of tables", _owners),
        ("Schemas", _schemas),
        ("Leftovers", _leftovers),
        ("Open to everybody", _open_to_everybody),
        ("Rehearsal", _rehearsal),
        ("Sign-in of a person", _person),
        ("End of it", _end_of_it),
        ("Connections", _connections),
    ]
    has_failed = False
    try:
        for name, step in steps:
            if has_failed and not (step is _end_of_it and climb.rehearsal is not None):
                yield Rung(name, RungState.SKIPPED, "Not tried, because of the failure above.")
                continue
            if only_looks and step in {_rehearsal, _person, _end_of_it}:
                yield Rung(name, RungState.SKIPPED, "Not tried: the portal only observes, and changes nothing.")
                continue
            rung = _rung(name, step, climb)
            has_failed = has_failed or rung.state is RungState.FAILED
            yield rung
    finally:
        if climb.rehearsal is not None:  # whoever asked went away in between
            _rung("End of it", _end_of_it, climb)


def read_cluster(target: Target) -> str:
    """Ask a server for its system identifier, over a connection that is made now. Raises TargetError."""
    forget_connections(target)
    with admin_session(target, Budget(ASK_SECONDS)) as session:
        if session.cluster:
            return session.cluster
        row = session.ask(READ_ABILITIES)[0]
    raise TargetRefused(
        f"“{target.name}” does not say which cluster it is.",
        why="The portal may not execute pg_control_system() there.",
        todo=str(advice.read_cluster(row["acting_as"], row["database"])),
        sqlstate="42501",
    )


def _rung(name: str, step: Callable[[Climb], Answer], climb: Climb) -> Rung:
    started = time.monotonic()
    try:
        answer = step(climb)
    except TargetError as error:
        answer = Answer(f"{error.what} {error.why}".strip(), error.todo, RungState.FAILED)
    return Rung(name, answer.state, answer.detail, answer.fix, round((time.monotonic() - started) * 1_000, 1))


def _credential(climb: Climb) -> Answer:
    if climb.given.aws_secret is None:
        return Answer("Kept in the portal, encrypted.")
    forget_secret(climb.given)
    climb.target = resolve_target(climb.given)
    secret = climb.given.aws_secret
    return Answer(f"Read from AWS Secrets Manager: “{secret.name}” in {secret.region}.")


def _host_name(climb: Climb) -> Answer:
    found = resolve_host(climb.target, climb.budget)
    if all(addresses == [host] for host, addresses in found.items()):
        return Answer("An address, nothing to resolve.")
    return Answer("; ".join(f"{host} is {', '.join(addresses)}" for host, addresses in found.items()) + ".")


def _port(climb: Climb) -> Answer:
    climb.hosts = reach_ports(climb.target, climb.budget)
    silent = [host for host in hosts_of(climb.target) if host not in climb.hosts]
    verb = "answers" if len(climb.hosts) == 1 else "answer"
    detail = f"{', '.join(climb.hosts)} {verb} on port {climb.target.port}."
    if silent:
        fix = f"Look at {', '.join(silent)}, or take what is gone out of the resource's hosts."
        return Answer(f"{detail} {', '.join(silent)} not.", fix, RungState.WARNED)
    return Answer(detail)


def _encryption(climb: Climb) -> Answer:
    """Shake hands with every host of a list: one that would be refused is found before a failover to it."""
    answers = [_encryption_of(climb.target, host, climb.budget) for host in climb.hosts]
    return next((answer for answer in answers if answer.state is not RungState.PASSED), answers[0])


def _encryption_of(target: Target, host: str, budget: Budget) -> Answer:
    mode = target.ssl_mode
    facts = shake_hands(target, host, budget)
    if facts.certificate is None:
        fix = "Set ssl_mode to verify-full." if facts.is_offered else "Switch TLS on at the server (ssl = on)."
        return Answer("Not encrypted: passwords are safe, data is not.", fix, RungState.WARNED)
    certificate = facts.certificate
    days = certificate.days_left()
    detail = f"{facts.version}, certificate {certificate.subject}, {days} days left."
    if days < FEW_DAYS:
        return Answer(detail, "Renew the server's certificate soon.", RungState.WARNED)
    if mode is SslMode.VERIFY_FULL:
        return Answer(f"{detail} Signer and name verified.")
    if mode is SslMode.VERIFY_CA or (mode is SslMode.REQUIRE and target.tls_root_cert):
        return Answer(f"{detail} Signer verified, name not.", "verify-full verifies the name as well.")
    return Answer(
        f"{detail} Not verified.", "Set ssl_mode to verify-full and paste the root certificate.", RungState.WARNED
    )


def _log_in(climb: Climb) -> Answer:
    method = ""
    for host in climb.hosts:
        answer = try_log_in(climb.target, host, climb.budget)
        error = login_error(climb.target, host, answer)
        if error is not None:
            raise error
        method = method or answer.method
    how = {"scram": "SCRAM-SHA-256", "none": "its client certificate"}.get(method, method)
    return Answer(f"“{climb.target.username}” is let into “{climb.target.database_name}” by {how}.")


def _server(climb: Climb) -> Answer:
    forget_connections(climb.given)
    with admin_session(climb.given, climb.budget) as session:
        climb.version = session.server_version
        climb.row = session.ask(READ_ABILITIES)[0]
        climb.cluster = session.cluster
        host = session.conn.info.host
    role = "standby" if climb.row["in_recovery"] else "primary"
    chosen = f": {host} of the list" if len(hosts_of(climb.target)) > 1 else ""
    detail = f"PostgreSQL {climb.row['version']}, {role}{chosen}."
    if climb.version < OLDEST_VERSION:
        return Answer(detail, f"The portal is made for PostgreSQL {OLDEST_VERSION} and later.", RungState.WARNED)
    if not climb.cluster:
        fix = advice.read_cluster(climb.row["acting_as"], climb.row["database"]).as_sql()
        what = "Which cluster it is may not be read: that a resource still leads to the same server is not verified."
        return Answer(f"{detail} {what}", fix, RungState.WARNED)
    return Answer(detail)


def _primary(climb: Climb) -> Answer:
    """A standby needs its primary, where roles are made; both have to be the same cluster."""
    linked = climb.given.primary
    if not climb.row["in_recovery"]:
        if linked is None:
            return Answer("This server takes changes itself.")
        return Answer(
            "This server is no standby, but the resource links a primary.",
            "Take the link to the primary out of the resource.",
            RungState.FAILED,
        )
    if linked is None:
        climb.given = find_servers(climb.given, climb.budget.check()).named
        linked = climb.given.primary
        if linked is None:
            raise TargetUnavailable(f"“{climb.given.name}” was promoted a moment ago.", todo="Test it again.")
        found = f"found by itself: {linked.host} port {linked.port}"
    else:
        found = f"“{linked.name}”"
    with admin_session(linked, climb.budget) as session:
        row, cluster = session.ask(READ_ABILITIES)[0], session.cluster
    if row["in_recovery"]:
        return Answer(f"“{linked.name}” is a standby itself.", "Link the primary.", RungState.FAILED)
    if "" not in {cluster, climb.cluster} and cluster != climb.cluster:
        return Answer(
            f"“{linked.name}” is another cluster: its system identifier differs.",
            "Link the primary that this standby streams from.",
            RungState.FAILED,
        )
    climb.row = {**row, "connections": climb.row["connections"], "most_connections": climb.row["most_connections"]}
    is_same = ", and is the same cluster" if cluster and climb.cluster else ""
    return Answer(f"Its primary, {found}, is reached{is_same}.")


def _rights(climb: Climb) -> Answer:
    row = climb.row
    if row["is_superuser"]:
        return Answer(
            f"{row['acting_as']} is a superuser: enough, and more than is needed.",
            f"Better is a login that only steps into {ADMIN_ROLE}.",
        )
    writable = climb.servers.writable
    with admin_session(writable, climb.budget, installation=climb.installation) as session:
        missing = session.missing_rights()
    if missing:
        return Answer(as_sentence(missing), as_script(item.advice for item in missing), RungState.FAILED)
    if not row["may_signal"]:
        return Answer(
            f"As {row['acting_as']}: creates roles, passes CONNECT on. It is no member of pg_signal_backend, and"
            " becomes a member of each login for the moment to end its sessions: not those that outlived their login,"
            " and not on other hosts of a list.",
            advice.end_sessions(row["acting_as"], climb.version).as_sql(),
            RungState.WARNED,
        )
    return Answer(f"As {row['acting_as']}: creates roles, ends sessions, passes CONNECT on.")


def _owners(climb: Climb) -> Answer:
    missing = climb.row["owners_not_held"]
    if not missing and climb.row["superusers_tables"]:
        return Answer(
            f"{climb.row['superusers_tables']} tables belong to a superuser and cannot be shared.",
            "Give them another owner: ALTER TABLE <table> OWNER TO <owner>;",
            RungState.WARNED,
        )
    if not missing:
        return Answer("The tables of every owner can be shared.")
    fix = advice.share_owners(missing, climb.row["acting_as"], climb.version).as_sql()
    state = RungState.WARNED if climb.row["owners_held"] else RungState.FAILED
    return Answer(f"Tables of {', '.join(missing)} cannot be shared.", fix, state)


def _schemas(climb: Climb) -> Answer:
    """What a login makes outlives its grant, and up to 15 it can make it as its capability role."""
    found = climb.row["open_schemas"]
    if not found:
        return Answer("Nobody may create objects in a schema just by being there.")
    listed = ", ".join(found)
    return Answer(
        f"Everybody may create objects in {listed}, every login too: what it makes there is left behind.",
        as_script(advice.close_schema(schema, climb.row["database"]) for schema in found),
        RungState.WARNED,
    )


def _leftovers(climb: Climb) -> Answer:
    """Code of a stranger lies with whoever takes over what logins leave: that role must have nothing to lose."""
    if climb.given.leftovers == KEEP:
        return Answer("What an ended login owns is listed, and its grant stays ending until an admin has seen to it.")
    writable = climb.servers.writable
    with admin_session(writable, climb.budget) as session:
        owner = read_powers(session, named_owner(writable))
        if not owner.found and owner.name == QUARANTINE_ROLE:
            return Answer(f"{owner.name} takes over what ended logins own; it is made when it is needed.")
        if not owner.found:
            fix = advice.make_owner(owner.name, climb.row["acting_as"], session.server_version).as_sql()
            detail = f"{owner.name}, which shall take over what ended logins own, is missing."
            return Answer(detail, fix, RungState.WARNED)
        if owner.powers and owner.name == QUARANTINE_ROLE:
            detail = f"{owner.name} takes over what ended logins own, and is not powerless: it {owner.in_words()}."
            return Answer(detail, as_script(strip(session, owner)), RungState.WARNED)
    if owner.powers:
        return Answer(
            f"{owner.name}, which shall take over what ended logins own, {owner.in_words()}. What people made must"
            f" never run with that: {QUARANTINE_ROLE} takes over instead.",
            "Choose a role that owns and may do nothing as the new owner of leftovers.",
            RungState.WARNED,
        )
    return Answer(f"{owner.name} takes over what ended logins own, and has nothing to lose.")


def _open_to_everybody(climb: Climb) -> Answer:
    """What every login of the portal gets besides, and what makes granting slow or impossible one day."""
    found, fixes = [], []
    if definers := climb.row["open_definers"]:
        more = f" and {len(definers) - MOST_NAMED} more" if len(definers) > MOST_NAMED else ""
        found.append(f"Everybody may run {', '.join(definers[:MOST_NAMED])}{more} with its owner's rights.")
        fixes.append(as_script(advice.close_routine(name, climb.row["database"]) for name in definers[:MOST_NAMED]))
    if lists := climb.row["long_lists"]:
        found.append(f"The access lists of {', '.join(lists[:MOST_NAMED])} are half full.")
        fixes.append("Take grants to roles that are gone, or to single people, from these tables.")
    if climb.row["standing_logins"] > MANY_LOGINS:
        found.append(f"{climb.row['standing_logins']:,} logins of the portal stand at a time: each GRANT gets slower.")
        fixes.append("Shorten the endpoints' time to live.")
    if not found:
        return Answer("No function runs with its owner's rights for everybody.")
    return Answer(" ".join(found), "\n".join(fixes), RungState.WARNED)


def _rehearsal(climb: Climb) -> Answer:
    """Try each set under a capability role's name that is not there: the whole way, as before the first use."""
    made_for = Installation(f"rehearsal-{secrets.token_hex(6)}", secrets.token_hex(32))
    given, nothing = [], []
    with admin_session(climb.servers.writable, climb.budget) as session:
        for permissions in climb.permission_sets:
            scope = scope_of(SetOrder(made_for, permissions), session.server_version, climb.given.leftover_owner)
            [found] = inspect_sets(session, [scope])
            try:
                relation = session.repeat(partial(rehearse_set, session, scope, found))
            except TargetRefused as error:
                raise TargetRefused(
                    f"{permissions.in_words()}: {error.what}", why=error.why, todo=error.todo, sqlstate=error.sqlstate
                ) from None
            if climb.given_to_rehearse is None or (relation and climb.given_to_rehearse.relation is None):
                climb.given_to_rehearse = what_to_give(scope, found, relation)
            if relation:
                given.append(f"{', '.join(scope.wanted)} on {relation}")
            elif permissions is not READ_EVERYTHING:
                nothing.append(permissions.in_words())
    what = f"given {'; '.join(given)}, verified" if given else "made a member of another role"
    detail = f"A login was made, {what}, fenced and dropped; all of it was rolled back."
    if nothing:
        fix = "Correct the schemas and tables of the authorization, or take its endpoint away."
        return Answer(f"{detail} Nothing can be given of: {'; '.join(nothing)}.", fix, RungState.WARNED)
    return Answer(detail)


def _person(climb: Climb) -> Answer:
    """Make a login as a grant does, and log in as it."""
    with suppress(TargetError):
        sweep_rehearsals(climb.given, climb.installation)
    if climb.given_to_rehearse is None:
        raise AssertionError("the rehearsal comes before")
    writable = climb.servers.writable
    with admin_session(writable, climb.budget, installation=climb.installation) as session:
        climb.rehearsal = rehearsal = new_rehearsal(climb.installation, climb.given_to_rehearse)
        make_login(session, rehearsal, connection_limit=climb.given.max_connections)
        return Answer(log_in_as(session, climb.servers, rehearsal))


def _end_of_it(climb: Climb) -> Answer:
    """End the login that was made, whatever came of it."""
    rehearsal, climb.rehearsal = climb.rehearsal, None
    if rehearsal is None:
        raise AssertionError("nothing was made")
    receipt = end_rehearsal(climb.servers, rehearsal)
    if receipt.role_was_absent:
        return Answer("It was not made.")
    return Answer("Fenced, cut and dropped; no role, no session and nothing that depends on it is left.")


def _connections(climb: Climb) -> Answer:
    """How full the server is, and whether an ending gets in when a person has filled it up."""
    row = climb.row
    used, most, free = row["connections"], row["most_connections"], row["kept_free"]
    detail = f"{used} of {most} connections are used. {_way_in(climb, free)}"
    if row["login_limit"] is not None and row["login_limit"] < FEWEST_CONNECTIONS:
        mend = advice.allow_connections(row["logged_in_as"], ENOUGH_CONNECTIONS)
        what = f"{detail} The login itself may have only {row['login_limit']}."
        return Answer(what, mend.as_sql(), RungState.WARNED)
    if used >= most * MUCH_USED:
        return Answer(detail, "Raise max_connections, or let clients share connections.", RungState.WARNED)
    if not free and climb.version >= RESERVED_SINCE:
        lacking = [advice.use_reserved_connections(row["logged_in_as"])]
        lacking += [] if row["reserved"] else [advice.reserve_connections()]
        return Answer(detail, as_script(lacking), RungState.WARNED)
    return Answer(detail)


def _way_in(climb: Climb, free: int) -> str:
    limit = climb.row["database_limit"]
    if limit is not None and not climb.row["is_superuser"]:
        return f"The database takes {limit} at a time: when it is full, an ending goes through another database."
    if free:
        return f"On a full server an ending gets in: {free} are kept free for such as {climb.row['logged_in_as']}."
    return "On a full server nothing new gets in: an ending has the connection that is held open while grants live."
