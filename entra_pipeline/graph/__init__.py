"""Microsoft Graph: credentials, pacing, paging, delta, batch."""
