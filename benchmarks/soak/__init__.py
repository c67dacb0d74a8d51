"""Dagster left alone for hours with several scopes, while things go wrong.

`python -m benchmarks.soak` writes a project of three simulated tenants, runs Dagster's daemon with a code location of
somebody else's beside it, breaks one thing after the other, and looks at the end whether every sensor tick was good,
every fault was healed, and every job was told once.

`project` writes the files, `launcher` gives runs a machine of their own each, `faults` breaks things, `findings` looks.
"""
