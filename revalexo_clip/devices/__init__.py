"""Recordings of devices: reading their files, and writing them as a dataset in RevalExo's layout."""
