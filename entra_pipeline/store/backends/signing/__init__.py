"""Signed records: who may write to the place but does not have the key changes nothing unseen.

1. A record is a JSON object of ours: a manifest, a prune record, a hold, a job, a plan, an event
   (`envelope.is_record`). Parquet files are none: manifests have their SHA-256.
2. `signed_store` is a place above a place. What is created or replaced gets an Ed25519 signature as its last member,
   over its key and its bytes (`envelope`); what is read is verified, and comes without the member. So hashes and
   chains are those of an unsigned store.
3. `keys` are the private key of the configuration, and the public keys that are trusted: those of the configuration,
   and those that a trusted key vouches for in the store.
4. `adopted` lists what was there before anybody signed.

What belongs here: signatures of bytes. What does not: what a scope should have, which no single signature can tell
(`store.verify`). The format is public: docs/signing.md.
"""
