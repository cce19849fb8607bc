"""The portal's own tables, one entity a file."""

from accessmgmt.models.access_request import AccessRequest
from accessmgmt.models.audit_event import AuditEvent, AuditSeal, AuditSlot
from accessmgmt.models.authorization import Authorization
from accessmgmt.models.decision import Decision
from accessmgmt.models.drift_check import DriftCheck
from accessmgmt.models.endpoint import Endpoint, EndpointApprover
from accessmgmt.models.grant import Grant
from accessmgmt.models.group import Group, GroupEndpoint, GroupMember
from accessmgmt.models.installation import Installation
from accessmgmt.models.resource import Resource
from accessmgmt.models.tally import Tally
from accessmgmt.models.target_look import TargetLook
from accessmgmt.models.target_silence import TargetSilence
from accessmgmt.models.user import User

__all__ = [
    "AccessRequest",
    "AuditEvent",
    "AuditSeal",
    "AuditSlot",
    "Authorization",
    "Decision",
    "DriftCheck",
    "Endpoint",
    "EndpointApprover",
    "Grant",
    "Group",
    "GroupEndpoint",
    "GroupMember",
    "Installation",
    "Resource",
    "Tally",
    "TargetLook",
    "TargetSilence",
    "User",
]
