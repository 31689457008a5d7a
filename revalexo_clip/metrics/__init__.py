"""Metrics of encoders and activity classifiers, as pure functions of their outputs."""
