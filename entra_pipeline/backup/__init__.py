"""A run of a scope: full, incremental, synthetic full, and the proof of completeness."""
