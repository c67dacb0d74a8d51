"""Editing the configuration: what a change leads to, and what a person has to agree to before it is saved."""
