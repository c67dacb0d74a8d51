"""A tenant as a person who has signed in sees it, for what Graph lets no application do: device code, or a browser.

What belongs here: a person's sign-in in this process. What does not: app registrations (`graph.credentials`), and which
requests take a person (`restore`).
"""

from entra_pipeline.graph.users.credential import SignInPrompt
from entra_pipeline.graph.users.user_graph import UserGraph

__all__ = ["SignInPrompt", "UserGraph"]
