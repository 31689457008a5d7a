"""Datasets in RevalExo's layout: reading, checking and packing them."""
