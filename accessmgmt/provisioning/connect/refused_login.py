"""What a server's answer to a sign-in means: let in, not now, or not until a person has done something.

By SQLSTATE only, as ever. A login that the portal made itself a moment ago is known to have the right password and the
right to log in, and its name is never used again: what keeps it out keeps everybody out, and the advice is for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.targets import SslMode, Target
from accessmgmt.provisioning.connect.protocol import LoginAnswer
from accessmgmt.provisioning.session.explain import is_passing
from accessmgmt.provisioning.statements import advice_login
from accessmgmt.provisioning.statements.advice_login import Door

IN_PREREQUISITE_STATE = "55000"


@dataclass(frozen=True, slots=True)
class Refused:
    """One sign-in that was tried. `made_on` is the server's major version when the portal made the login, else 0."""

    target: Target
    host: str
    answer: LoginAnswer
    made_on: int

    @property
    def user(self) -> str:
        return self.target.username

    @property
    def why(self) -> str:
        return f"PostgreSQL answers {self.answer.sqlstate}: {self.answer.message}."

    @property
    def door(self) -> Door:
        is_encrypted = self.target.ssl_mode not in {None, SslMode.DISABLE}
        return Door(self.target.database_name, self.answer.address, is_encrypted)

    def let_in(self) -> str:
        """Say which line of pg_hba.conf lets this login in, or, where it is one of many, all of its kind."""
        if self.made_on:
            return str(advice_login.let_people_in(self.door, self.made_on))
        return str(advice_login.let_in(self.user, self.door))


def login_error(target: Target, host: str, answer: LoginAnswer, *, made_on: int = 0) -> TargetError | None:
    """Say why a sign-in was refused; None when it was not."""
    refused = Refused(target, host, answer, made_on)
    if answer.sqlstate:
        return _by_code(refused)
    if answer.method in {"md5", "cleartext", "other"}:
        return _wrong_method(refused)
    if answer.method == "none" and target.password and not target.tls_cert_file:
        return TargetRefused(
            f"{host} lets “{target.username}” in without asking for the password.",
            why="Its pg_hba.conf says trust, so anybody may be anybody there.",
            todo=refused.let_in(),
        )
    return pooler_found(host, target.port) if answer.is_pooled else None


def pooler_found(host: str, port: int) -> TargetRefused:
    """Say that the portal cannot work through a pooler."""
    return TargetRefused(
        f"A connection pooler (PgBouncer or the like) answers at {host} port {port}, not PostgreSQL itself.",
        why="The session has another process id there than in the server. The portal steps into its admin role, bounds"
        " its statements and takes locks for a session, and a pooler mixes sessions up.",
        todo="Write the host and port of the server itself into the resource. People may use a pooler: the resource's"
        " page has a pgbouncer.ini for them.",
    )


def _wrong_method(refused: Refused) -> TargetRefused:
    user, host, method = refused.user, refused.host, refused.answer.method
    if method == "other":
        return TargetRefused(
            f"{host} wants another kind of sign-in for “{user}” than a password.",
            why="A line of pg_hba.conf says so.",
            todo=refused.let_in(),
        )
    is_stored_so = method == "md5" and not refused.made_on
    return TargetRefused(
        f"{host} asks for the password of “{user}” in an unsafe way ({method}).",
        why="The portal answers SCRAM only, which never sends the password.",
        todo=str(advice_login.set_password(user)) if is_stored_so else refused.let_in(),
    )


def _by_code(refused: Refused) -> TargetError:
    code, host, user = refused.answer.sqlstate, refused.host, refused.user
    database = refused.target.database_name
    if code in {"28P01", "28000"}:
        return _not_let_in(refused)
    if code == "3D000":
        what, todo = f"There is no database “{database}” on {host}.", "Correct the database's name in the resource."
    elif code == "42501" and not refused.made_on:
        what = f"“{user}” may not connect to the database “{database}”."
        todo = str(advice_login.allow_connect(user, database))
    elif code == "42501":
        what = f"{host} does not let “{user}” into the database “{database}”."
        todo = "The set's role lost CONNECT on the database, or an event trigger on login refuses: a DBA looks at both."
    elif code == IN_PREREQUISITE_STATE:
        what = f"The database “{database}” on {host} takes no connections."
        todo = str(advice_login.open_database(database))
    elif is_passing(code):
        return TargetUnavailable(
            f"{host} does not take the sign-in now.", why=refused.why, todo="It is tried again.", sqlstate=code
        )
    else:
        what = f"{host} lets “{user}” in and then refuses the session."
        todo = "An event trigger on login does that, or an extension: let it pass logins whose name begins with jit_."
    return TargetRefused(what, why=refused.why, todo=todo, sqlstate=code)


def _not_let_in(refused: Refused) -> TargetRefused:
    code, host, user, answer = refused.answer.sqlstate, refused.host, refused.user, refused.answer
    why, todo = refused.why, refused.let_in()
    if code == "28P01" and answer.is_password_right:
        what = f"The password of “{user}” is right, and {host} wants a client certificate of this name as well."
        why = f"pg_hba.conf of {host} says clientcert=verify-full: the common name has to be the user's."
        if refused.target.tls_cert_file and not refused.made_on:
            what = f"The password of “{user}” is right, and its client certificate is not for this user."
            todo = f"Give the resource a client certificate of the common name {user}. Or: {todo}"
    elif code == "28P01" and refused.made_on:
        what = f"{host} does not accept the password that “{user}” was made with."
        todo = f"Somebody changed it, or pg_hba.conf has another password checked. {todo}"
    elif code == "28P01":
        what = f"{host} does not accept the password of “{user}”."
        why = "The user does not exist, the password is another one, or its time (VALID UNTIL) is over."
        todo = f"Correct user name and password in the resource. Or: {advice_login.set_password(user)}"
    elif answer.method and refused.made_on:
        what = f"{host} does not let “{user}” log in any more."
        todo = "Somebody took LOGIN from it. Ask for access again."
    elif answer.method:
        what, todo = f"{host} does not let “{user}” log in.", str(advice_login.allow_log_in(user))
    elif refused.made_on:
        what = f"pg_hba.conf of {host} has no line that lets the logins of people in with a password."
    elif refused.door.is_encrypted and not refused.target.tls_cert_file:
        what = f"{host} does not let “{user}” in without a client certificate, or has no line for it in pg_hba.conf."
        todo = "Paste the client certificate and its key (tls_cert_file, tls_key_file) where the server wants one. Or: "
        todo += refused.let_in()
    else:
        what = f"pg_hba.conf of {host} has no line for “{user}” from here."
    return TargetRefused(what, why=why, todo=todo, sqlstate=code)
