"""Credentials that exist only while they are used: the app registration that writes has none of its own.

1. A third app registration, the owner, has nothing but `Application.ReadWrite.OwnedBy`, and owns the writing one.
2. When the first token of the writing app is needed, the owner adds a client secret to it that is valid for an hour at
   the most (`passwords`). It stays in memory.
3. `JustInTimeCredential` signs in with it, waits until Entra knows it everywhere, and has another made when it is about
   to expire (`credential`).
4. When the connection closes, however that comes, the owner removes it. What a process that was killed has left is
   removed before the next one is made; nobody knows its value, and it expires by itself.

Why a client secret, in memory, and no certificate or federated credential: `addKey` takes a proof of possession of a
key that is already there, and `keyCredentials` is replaced as a whole (Graph doc: application-addkey); a federated
credential takes an issuer that Entra can reach (Graph doc: federatedidentitycredentials-overview).
"""

from entra_pipeline.graph.just_in_time.graph import JustInTimeGraph
from entra_pipeline.graph.just_in_time.passwords import HeldCredentials, TemporaryPassword, TemporaryPasswords

__all__ = ["HeldCredentials", "JustInTimeGraph", "TemporaryPassword", "TemporaryPasswords"]
