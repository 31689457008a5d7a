"""Benchmarks, run by `make bench`. Each prints ratios against a named baseline measured in the same run."""
