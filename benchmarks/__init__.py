"""Measurements: `make bench`. Each prints ratios against a named baseline of the same run."""
