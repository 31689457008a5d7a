"""Faster forms of PyTorchVideo modules with equal outputs."""
