"""Shared by tests: small datasets, experiments, runs and plain references."""
