"""What all processes of a console share: small records in one place, sealed where nobody else may make one.

1. `records` keeps them: in a storage profile that all processes reach, or a folder of this machine.
2. `sealing` makes what only consoles with the same key can make or read: the content of records, and cookies.

What belongs here: keeping bytes by their name. What does not: what they say (`auth.sessions`, `display.preferences`,
`editing.basket`, `approving.erasures`).
"""
