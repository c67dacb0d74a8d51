"""Evidence for auditors: what is in it, and what its verifier finds."""
