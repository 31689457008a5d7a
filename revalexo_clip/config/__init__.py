"""Experiments: the typed classes of the configuration, and loading them from a file or from JSON."""
