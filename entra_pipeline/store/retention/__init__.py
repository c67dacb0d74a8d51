"""How long recovery points and logs stay: holds, what is pruned, and the record of it."""
