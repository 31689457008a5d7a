"""Faster implementations of PyTorchVideo modules with the same outputs."""
