"""A simulated Entra tenant that speaks Microsoft Graph over HTTP: for demos, tests and restore drills."""
