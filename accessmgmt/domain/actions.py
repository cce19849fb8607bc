"""What the audit trail records: every action with its words and how grave it is, and every kind of thing it is done to.

The values are stored, and authenticated with what is stored: they never change. Words go on after those of the thing:
"Grant released by its person". Notifications, metrics and exports choose by action and severity.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ObjectType(StrEnum):
    """A kind of thing that an event is about, as its model is called. `words` is what people call it."""

    words: str

    def __new__(cls, value: str, words: str = "") -> Self:
        """Make a member out of its value and its words."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.words = words or value
        return member

    RESOURCE = "resource"
    AUTHORIZATION = "authorization"
    ENDPOINT = "endpoint"
    GROUP = "group"
    ACCESS_REQUEST = "accessrequest", "request"
    GRANT = "grant"
    USER = "user"
    INSTALLATION = "installation"


class ActionSeverity(StrEnum):
    """Who has to know: `info` nobody, `notice` who reviews, `warning` an admin on the same day, `critical` at once."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


INFO, NOTICE = ActionSeverity.INFO, ActionSeverity.NOTICE
WARNING, CRITICAL = ActionSeverity.WARNING, ActionSeverity.CRITICAL


class Action(StrEnum):
    """Something that was done, as the audit trail stores it: the thing, a dot, and what was done to it."""

    words: str
    severity: ActionSeverity

    def __new__(cls, value: str, words: str = "", severity: ActionSeverity = INFO) -> Self:
        """Make a member out of its value, its words, and how grave it is."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.words = words
        member.severity = severity
        return member

    RESOURCE_CREATED = "resource.created", "created", NOTICE
    RESOURCE_UPDATED = "resource.updated", "changed", NOTICE
    RESOURCE_DELETED = "resource.deleted", "deleted", NOTICE
    RESOURCE_TESTED = "resource.tested", "tested"
    RESOURCE_ADDRESS_CHECKED = "resource.address_checked", "address checked"
    RESOURCE_DRIFT_FOUND = "resource.drift_found", "differences found", WARNING
    RESOURCE_DRIFT_REPAIRED = "resource.drift_repaired", "differences mended", NOTICE
    RESOURCE_OBJECTS_SHARED = "resource.objects_shared", "new objects shared"
    RESOURCE_SETS_RETIRED = "resource.sets_retired", "unused roles dropped"
    RESOURCE_LEFT_OVER_ENDED = "resource.left_over_ended", "left-over logins ended", WARNING
    RESOURCE_PAUSED = "resource.paused", "paused, because it has roles that nobody knows", CRITICAL
    RESOURCE_RESUMED = "resource.resumed", "allowed to give access again", NOTICE

    AUTHORIZATION_CREATED = "authorization.created", "created", NOTICE
    AUTHORIZATION_UPDATED = "authorization.updated", "changed", NOTICE
    AUTHORIZATION_DELETED = "authorization.deleted", "deleted", NOTICE

    ENDPOINT_CREATED = "endpoint.created", "created", NOTICE
    ENDPOINT_UPDATED = "endpoint.updated", "changed", NOTICE
    ENDPOINT_DELETED = "endpoint.deleted", "deleted", NOTICE
    ENDPOINT_APPROVERS_SET = "endpoint.approvers_set", "approvers changed", NOTICE

    GROUP_CREATED = "group.created", "created", NOTICE
    GROUP_UPDATED = "group.updated", "changed", NOTICE
    GROUP_DELETED = "group.deleted", "deleted", NOTICE
    GROUP_MEMBERS_ADDED = "group.members_added", "members added", NOTICE
    GROUP_MEMBER_REMOVED = "group.member_removed", "member removed", NOTICE
    GROUP_WIRED = "group.wired", "wired to an endpoint", NOTICE
    GROUP_UNWIRED = "group.unwired", "unwired from an endpoint", NOTICE

    REQUEST_MADE = "request.made", "made"
    REQUEST_APPROVED = "request.approved", "approved", NOTICE
    REQUEST_DENIED = "request.denied", "denied"
    REQUEST_CANCELLED = "request.cancelled", "cancelled by its person"
    REQUEST_LAPSED = "request.lapsed", "lapsed, because nobody decided in time"

    GRANT_ACTIVATED = "grant.activated", "activated by its person"
    GRANT_APPROVED = "grant.approved", "given after an approval"
    GRANT_APPLIED = "grant.applied", "made on the server"
    GRANT_FAILED = "grant.failed", "refused by the server", WARNING
    GRANT_GIVEN_UP = "grant.given_up", "given up after too many tries", WARNING
    GRANT_PASSWORD_SHOWN = "grant.password_shown", "password shown to its person"
    GRANT_RELEASED = "grant.released", "released by its person"
    GRANT_REVOKED = "grant.revoked", "ended by an admin", NOTICE
    GRANT_EXPIRED = "grant.expired", "ending, because its time is over"
    GRANT_ROLE_VANISHED = "grant.role_vanished", "ending, because somebody dropped its login", WARNING
    GRANT_ENDED = "grant.ended", "ended, and proved to be"

    USER_CREATED = "user.created", "created", NOTICE
    USER_UPDATED = "user.updated", "changed", NOTICE
    USER_PROFILE_CHANGED = "user.profile_changed", "profile changed"
    USER_PASSWORD_CHANGED = "user.password_changed", "password changed"
    USER_PASSWORD_RESET = "user.password_reset", "password reset on the command line", WARNING
    USER_PASSWORD_CHANGE_FAILED = "user.password_change_failed", "password not changed: the old one was wrong", NOTICE
    USER_PASSWORD_CHANGE_REFUSED = "user.password_change_refused", "password not changed: too many tries", WARNING
    USER_LOGGED_IN = "user.logged_in", "signed in"
    USER_LOG_IN_FAILED = "user.log_in_failed", "not signed in: the password was wrong", NOTICE
    USER_LOG_IN_REFUSED = "user.log_in_refused", "not signed in: too many tries", WARNING
    USER_LOGGED_OUT = "user.logged_out", "signed out"
    USER_REFUSED = "user.refused", "refused", NOTICE
    USER_AUDIT_READ = "user.audit_read", "read the audit trail"
    USER_DOWNLOADED = "user.downloaded", "downloaded a file"

    INSTALLATION_OBSERVING = "installation.observing", "only observes from now on", CRITICAL
    INSTALLATION_CONFIRMED = "installation.confirmed", "confirmed: it acts again", WARNING


def find_action(stored: str) -> Action | None:
    """Return the action that an event stores; None for one that is not recorded any more."""
    return _BY_VALUE.get(stored)


def find_object_type(stored: str) -> ObjectType | None:
    """Return the kind of thing that an event stores; None for one that there is not any more."""
    return _TYPES.get(stored)


_BY_VALUE = {action.value: action for action in Action}
_TYPES = {kind.value: kind for kind in ObjectType}
