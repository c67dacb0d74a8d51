"""What entra-pipeline costs, each figure as a ratio within one run: `make bench`, docs/benchmarks.md."""
