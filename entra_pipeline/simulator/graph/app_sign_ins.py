"""Sign-ins of apps: what the log says of them, and how beta is asked for them (Graph doc: beta/resources/signin)."""

from __future__ import annotations

import base64
import re
import uuid

from entra_pipeline.simulator.protocol.failures import bad_request, unsupported
from entra_pipeline.simulator.protocol.requests import GraphRequest
from entra_pipeline.simulator.storage.database import Entity

APP_SIGN_IN = "appSignIn"
"""What sign-ins of apps are called here: they are in beta's list of sign-ins, behind a filter of their own."""

_KINDS = re.compile(r"(?:\s*and\s+)?signInEventTypes/any\(t: ?t eq '\w+'(?: or t eq '\w+')*\)")
_KIND = re.compile(r"eq '(\w+)'")


def asks_for_apps(request: GraphRequest) -> bool:
    """Returns whether a filter asks for sign-ins of apps; v1.0 does not know it.

    Raises:
        Failure: (400) It does so of v1.0, or together with sign-ins of users.
    """
    if not (asked := _KINDS.search(request.options.get("$filter", ""))):
        return False
    if not request.beta:
        raise bad_request("Could not find a property named 'signInEventTypes' on type 'microsoft.graph.signIn'.")
    if not set(_KIND.findall(asked[0])) <= {"servicePrincipal", "managedIdentity"}:
        raise unsupported("This tenant does not mix sign-ins of apps with those of users.")
    return True


def without_kinds(text: str) -> str:
    """Returns a filter without what it says of the kind of sign-ins."""
    return _KINDS.sub("", text)


def token_identifier(request_id: uuid.UUID) -> str:
    """Returns the claim `uti` of the token that a sign-in gave: base64url of its id."""
    return base64.urlsafe_b64encode(request_id.bytes_le).rstrip(b"=").decode()


def app_sign_in(
    client_id: str, request_id: uuid.UUID, moment: str, address: str, error: int, credential: str
) -> Entity:
    """Returns what the log says of a sign-in; arguments as of `TenantLogs.sign_app_in`, and when it was."""
    return {
        "id": str(request_id),
        "createdDateTime": moment,
        "appId": client_id,
        "appDisplayName": "Backup app",
        "servicePrincipalId": str(uuid.uuid5(uuid.NAMESPACE_OID, client_id)),
        "servicePrincipalName": "Backup app",
        "servicePrincipalCredentialKeyId": credential,
        "signInEventTypes": ["servicePrincipal"],
        "ipAddress": address,
        "correlationId": str(uuid.uuid5(uuid.NAMESPACE_OID, str(request_id))),
        "resourceDisplayName": "Microsoft Graph",
        "resourceId": "00000003-0000-0000-c000-000000000000",
        "uniqueTokenIdentifier": token_identifier(request_id),
        "isInteractive": False,
        "status": {"errorCode": error, "failureReason": "Refused." if error else "Other.", "additionalDetails": ""},
    }
