"""Encryption before bytes leave this machine: who reads the place without the key learns which points there are.

1. A storage has data keys (`keys`), of which the newest encrypts what is written. Each lies in the store, wrapped by a
   key that the store never sees (`wrappers`: a passphrase, age, or AWS KMS).
2. `vault` encrypts with them: Parquet files as DuckDB reads them, with a key of the session; everything else with
   AES-256-GCM, bound to its place in the store.
3. `encrypted_store` is a place above a place. Records are encrypted when they are written and decrypted when they are
   read; what is neither encrypted nor meant to be readable is refused. Manifests, days of logs and events of the audit
   log are readable but for what may name people: their own modules encrypt that (`Vault.seal`).
4. Inside of Parquet files, values of persons may be encrypted once more (`sealing`), with a key for each person
   (`person_keys`), which can be destroyed.

What belongs here: which bytes are readable without the key. What does not: whether they are what was written (SHA-256s
in manifests, `signing`). The format is public: docs/encryption.md.
"""
