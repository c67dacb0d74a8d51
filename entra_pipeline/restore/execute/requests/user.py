"""Users: made disabled with a random password, guests by invitation."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute import lost_write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.records.passwords import is_guest

_REDEEM = "https://myapplications.microsoft.com"


class UserRequests(RequestBuilder):
    """Users (Graph doc: user-post-users, invitation-post)."""

    async def made(self) -> dict[str, Any]:
        """Creates the user; a guest is invited without a mail and redeems the invitation at the next sign-in."""
        if not self._guest:
            return await super().made()
        body = self.work.body()
        invitation = {
            "invitedUserEmailAddress": body["mail"],
            "invitedUserDisplayName": body.get("displayName"),
            "inviteRedirectUrl": _REDEEM,
            "invitedUserType": body.get("userType") or "Guest",
            "sendInvitationMessage": False,
        }

        async def find(new: bool) -> dict[str, Any] | None:
            sent = {"userPrincipalName": body["userPrincipalName"], "mail": body["mail"]}
            return await lost_write.find(self.work, sent, new)

        answer = await self.work.make(Write("POST", "invitations", invitation), find)
        invited: dict[str, Any] = answer.get("invitedUser", answer)
        return invited

    def first(self) -> set[str]:
        """Sends only what the invitation takes; a guest's other properties follow."""
        if self._guest:
            # The invitation names the guest itself.
            return {"userPrincipalName", "mail", "userType"}
        return super().first()

    def sent(self) -> dict[str, Any]:
        """Builds a disabled user with a random password; access follows when everything is in place."""
        body = super().sent()
        name = str(body["userPrincipalName"])
        disabled = {"mailNickname": name.partition("@")[0], **body, "accountEnabled": False}
        if self._guest:
            return disabled
        password = self.work.session.passwords.of(self.work.step)
        return {**disabled, "passwordProfile": {"password": password, "forceChangePasswordNextSignIn": True}}

    @property
    def _guest(self) -> bool:
        return is_guest(self.work.step.body)
