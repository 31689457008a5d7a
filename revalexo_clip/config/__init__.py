"""Experiments: the typed classes that are the configuration, and loading them from a file or from JSON."""
