"""Sweeps: one experiment, trained with every combination of some settings."""
