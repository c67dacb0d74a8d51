"""Headings in words for the properties of Graph: its own names are for who looks something up."""

from __future__ import annotations

import re
from functools import cache

from entra_pipeline.catalogue import CATALOGUE

_BEFORE_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")
_WORDS = {
    "id": "ID",
    "ids": "IDs",
    "url": "URL",
    "uri": "URI",
    "uris": "URIs",
    "dns": "DNS",
    "api": "API",
    "sms": "SMS",
    "mfa": "MFA",
    "sid": "SID",
    "oauth2": "OAuth 2",
    "saml": "SAML",
    "im": "IM",
    "ip": "IP",
}
_LABELS = {
    "id": "Object ID",
    "userPrincipalName": "User principal name",
    "onPremisesSyncEnabled": "Synchronised from Active Directory",
    "appId": "Application (client) ID",
    "createdDateTime": "Created",
    "deletedDateTime": "Deleted",
    "modifiedDateTime": "Modified",
    "renewedDateTime": "Renewed",
    "expirationDateTime": "Expires",
    "accountEnabled": "Account enabled",
    "source_id": "From",
    "target_id": "To",
    "target_type": "Type",
}


@cache
def label(name: str) -> str:
    """Words a property's, relation's or column's name: `jobTitle` is "Job title"."""
    if name in _LABELS:
        return _LABELS[name]
    if "." in name:
        return " › ".join(label(part) for part in name.split("."))
    words = [word for word in _BEFORE_WORDS.split(name) if word]
    told = [_WORDS.get(word.lower(), word if word.isupper() and len(word) > 1 else word.lower()) for word in words]
    text = " ".join(told).replace("on premises", "on-premises").replace(" date time", "")
    return text[:1].upper() + text[1:]


def type_name(table: str) -> str:
    """Names an object type or a relation: `conditional_access_policies` is "Conditional access policy"."""
    return CATALOGUE[table].title if table in CATALOGUE else label(table)


def type_names(table: str) -> str:
    """Names the objects of a type, or a relation: `conditional_access_policies` is "Conditional access policies"."""
    return CATALOGUE[table].plural if table in CATALOGUE else label(table)
