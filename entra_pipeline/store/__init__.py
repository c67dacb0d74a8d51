"""Recovery points in a store: layout, manifests, commit, read, verify."""
