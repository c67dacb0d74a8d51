"""Commands that run jobs: `backup`, `logs`, `restore`, `drill`, `prune` and `hold`.

Each parses its options, calls one of `operations` with progress on the terminal, prints the result, and returns the
exit code: 0 finished, 3 finished with exception. Errors are printed by `cli.calling`, which every command shares.
"""
